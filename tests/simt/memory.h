// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace tl::simt {

// Null where there is no room. Pinned memory is every device's.
void* AllocateDevice(size_t bytes, bool pinned_host, int device);
// False for what was not allocated.
bool FreeDevice(void* data);
size_t AllocatedBytes(int device);
size_t DeviceMemory();  // bytes of each device

}  // namespace tl::simt
