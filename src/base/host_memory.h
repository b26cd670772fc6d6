// Memory of the host and of this process.
#pragma once

#include <cstdint>

namespace tl {

// Bytes that new allocations can use: the kernel's MemAvailable, or less where a control group
// allows less. 0: unknown.
int64_t AvailableMemory();
// The largest resident size of this process so far.
int64_t PeakResidentMemory();

}  // namespace tl
