// SPDX-License-Identifier: Apache-2.0
// Stacks and the switch between them, for x86-64.
#pragma once

#include <cstddef>

namespace tl::simt {

// A stack for thread i of a block, with a page below that cannot be touched.
std::byte* StackTop(int i);
inline constexpr size_t kStackBytes = 128 << 10;
std::byte* StackBegin(int i);

// Lays a first frame on the stack: the switch to what is returned calls entry, which never returns.
void* PrepareStack(std::byte* top, void (*entry)());

extern "C" void tl_simt_switch(void** save, void* resume);

}  // namespace tl::simt
