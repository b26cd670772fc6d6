#pragma once

#include <cstddef>

namespace tl::simt {

// Null where there is no room.
void* AllocateDevice(size_t bytes, bool pinned_host);
// False for what was not allocated.
bool FreeDevice(void* data);
size_t AllocatedBytes();

}  // namespace tl::simt
