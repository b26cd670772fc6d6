// SPDX-License-Identifier: Apache-2.0
// What device.cc asks of CUDA: in cuda_backend.cc, or cuda_none.cc where the build has no CUDA.
#pragma once

#include <cstddef>
#include <memory>

#include "device/device.h"

namespace tl::cuda {

std::byte* Allocate(int device, size_t bytes);
void Free(int device, std::byte* data, size_t bytes);
// Host memory, by the device's context.
std::byte* AllocatePinned(int device, size_t bytes);
void FreePinned(int device, std::byte* data);

class Queue;  // a cudaStream_t
class Mark;   // a cudaEvent_t

struct DeleteQueue {
  void operator()(Queue* queue) const;  // waits for its work
};
using QueuePtr = std::unique_ptr<Queue, DeleteQueue>;

QueuePtr MakeQueue(int device, Stream::Mode mode);
void Synchronize(Queue& queue);
std::shared_ptr<Mark> Record(Queue& queue);
void Wait(Queue& queue, const Mark& mark);  // later work on the queue comes after the mark
bool Query(const Mark& mark);
void Synchronize(const Mark& mark);
void Copy(Queue& queue, std::byte* dst, const std::byte* src, size_t bytes);
void Zero(Queue& queue, std::byte* dst, size_t bytes);

}  // namespace tl::cuda
