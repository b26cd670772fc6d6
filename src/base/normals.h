// SPDX-License-Identifier: Apache-2.0
// Normal numbers in fp64 on the host, from base/philox.h.
#pragma once

#include <cstdint>
#include <string>

#include "absl/types/span.h"

namespace tl {

// Names a stream of random numbers; streams of different names have nothing in common.
uint64_t StreamKey(const std::string& name, uint64_t seed);

// Writes the standard normals first, first + 1, .. of a line of the stream into out. A number
// depends on (key, line, its place) alone. Those of line 0 are PhiloxNormal's.
void FillNormals(uint64_t key, uint64_t line, uint64_t first, absl::Span<double> out);

// Writes signs, +1 or -1, of a line of the stream into out.
void FillSigns(uint64_t key, uint64_t line, absl::Span<double> out);

// Returns the z that a standard normal is below with probability u in (0, 1), to 1e-13.
double NormalQuantile(double u);

}  // namespace tl
