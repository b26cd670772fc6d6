// SPDX-License-Identifier: Apache-2.0
#include "base/normals.h"

#include <algorithm>
#include <cmath>

#include "base/philox.h"

namespace tl {

uint64_t StreamKey(const std::string& name, uint64_t seed) {
  return HashName(name.data(), name.size(), seed);
}

void FillNormals(uint64_t key, uint64_t line, uint64_t first, absl::Span<double> out) {
  PhiloxWords words = {};
  for (size_t j = 0; j < out.size(); ++j) {
    const uint64_t i = first + j;
    if (j == 0 || i % 4 == 0) words = Philox(key, i / 4, line);
    out[j] = static_cast<double>(NormalFromUniform(UniformFromWord(words.w[i % 4])));
  }
}

void FillSigns(uint64_t key, uint64_t line, absl::Span<double> out) {
  PhiloxWords words = {};
  for (size_t j = 0; j < out.size(); ++j) {
    if (j % 128 == 0) words = Philox(key, j / 128, line);
    out[j] = (words.w[j / 32 % 4] >> (j % 32) & 1u) != 0 ? 1.0 : -1.0;
  }
}

double NormalQuantile(double u) {
  const double tail = std::min(u, 1.0 - u);
  if (tail == 0.5) return 0.0;
  double z = static_cast<double>(NormalFromUniform(static_cast<float>(tail)));
  // From 1e-6 relative, Newton's step twice: the first squares the error, the second clears the
  // rounding of tail to fp32.
  for (int i = 0; i < 2; ++i) {
    const double below = 0.5 * std::erfc(-z * M_SQRT1_2);
    const double density = std::exp(-0.5 * z * z) / std::sqrt(2.0 * M_PI);
    z -= (below - tail) / density;
  }
  return u < 0.5 ? z : -z;
}

}  // namespace tl
