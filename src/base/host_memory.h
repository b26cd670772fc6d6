// SPDX-License-Identifier: Apache-2.0
// Memory of the host and of this process.
#pragma once

#include <cstdint>
#include <string>

namespace tl {

// Bytes that new allocations can use: the kernel's MemAvailable, or less where a control group
// allows less. 0: unknown.
int64_t AvailableMemory();
// Returns the largest resident size of this process so far.
int64_t PeakResidentMemory();

std::string HumanBytes(int64_t bytes);  // "512 B", "1.50 GiB"

}  // namespace tl
