// SPDX-License-Identifier: Apache-2.0
// What the stand-ins for the runtime's parts share: errors, devices and the rules that several of
// their calls keep.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

namespace tl::simt {

// Keeps the error for cudaGetLastError, and returns it.
cudaError_t Set(cudaError_t error);
// A call that breaks a rule: reports why, and fails.
cudaError_t Reject(cudaError_t error, const std::string& why);

int DeviceCount();
// The calling thread's device, without a context.
int CurrentDevice();
// The calling thread's device; `call` starts its context where there is none. A thread that has
// chosen no device gets device 0, and that is reported where it starts a context beside others'.
int UseDevice(const char* call);
std::string OfDevice(int device);  // "of device 1"

// Bytes that a block may have with the attribute, and without.
size_t SharedLimit();
inline constexpr size_t kSharedWithoutAttribute = 48 << 10;

// An error where the stream was destroyed. Null is the current device's own stream.
cudaError_t CheckStream(const std::string& call, cudaStream_t stream);
int DeviceOf(cudaStream_t stream);
// An error where work that is launched on the stream, a kernel or a product, would be refused.
cudaError_t CheckLaunchStream(const std::string& what, cudaStream_t stream);

// Whether a queued copy has yet to read or write some of the bytes; if so, what it is.
std::string QueuedCopyOf(const void* data, size_t bytes);

}  // namespace tl::simt
