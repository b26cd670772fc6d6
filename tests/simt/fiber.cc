// SPDX-License-Identifier: Apache-2.0
#include "tests/simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/simt/machine.h"

namespace tl::simt {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kStride = kStackBytes + kPage;

std::byte* Stacks() {
  static std::byte* stacks = [] {
    void* memory = mmap(nullptr, kStride * kMaxThreads, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    auto* begin = static_cast<std::byte*>(memory);
    for (int i = 0; i < kMaxThreads; ++i) mprotect(begin + i * kStride, kPage, PROT_NONE);
    return begin;
  }();
  return stacks;
}

}  // namespace

std::byte* StackBegin(int i) { return Stacks() + i * kStride + kPage; }
std::byte* StackTop(int i) { return StackBegin(i) + kStackBytes; }

bool IsStack(const void* address, const Thread& thread) {
  const auto* a = static_cast<const std::byte*>(address);
  return a >= StackBegin(thread.linear) && a < StackTop(thread.linear);
}

bool IsAnyStack(const void* address) {
  const auto* a = static_cast<const std::byte*>(address);
  return a >= Stacks() && a < Stacks() + kStride * kMaxThreads;
}

// The callee-saved registers, popped in this order by tl_simt_switch, then its return address. A
// function's entry finds the stack 8 bytes off a multiple of 16.
void* PrepareStack(std::byte* top, void (*entry)()) {
  auto* slot = reinterpret_cast<uint64_t*>(top);
  *--slot = 0;
  *--slot = reinterpret_cast<uint64_t>(entry);
  for (int i = 0; i < 6; ++i) *--slot = 0;
  return slot;
}

}  // namespace tl::simt

asm(R"(
.text
.globl tl_simt_switch
.type tl_simt_switch, @function
tl_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tl_simt_switch, .-tl_simt_switch
)");
