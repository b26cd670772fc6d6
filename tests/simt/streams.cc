// SPDX-License-Identifier: Apache-2.0
// The runtime's streams and events: what they belong to, and how long they live.
#include "tests/simt/control.h"
#include "tests/simt/driver.h"
#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"

namespace tl::simt {

void Forget(cudaStream_t stream);

// The host waits for a stream.
void WaitFor(cudaStream_t stream) {
  if (!IsIdle(stream)) ++CallsSoFar().waits;
  Drain(stream);
}

namespace {

cudaError_t CheckEvent(const std::string& call, cudaEvent_t event) {
  if (event == nullptr || event->destroyed)
    return Reject(cudaErrorInvalidResourceHandle, call + " of an event that was destroyed");
  if (event->last != nullptr && !event->last->complete && event->last->stream->destroyed)
    return Reject(cudaErrorInvalidResourceHandle, call + " of an event whose stream " +
                                                      OfDevice(event->last->stream->device) +
                                                      " was destroyed before it came to it");
  return cudaSuccess;
}

}  // namespace
}  // namespace tl::simt

using namespace tl::simt;

extern "C" {

cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  UseDevice("cudaDeviceGetStreamPriorityRange");
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new CUstream_st;
  (*stream)->device = UseDevice("cudaStreamCreate");
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  return cudaStreamCreate(stream);
}
// Does not wait: what is queued still runs.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const cudaError_t error = CheckStream("cudaStreamDestroy", stream);
  stream->destroyed = true;
  if (IsIdle(stream)) Forget(stream);
  return error;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const cudaError_t error = CheckStream("cudaStreamSynchronize", stream);
  WaitFor(stream);
  return error;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (const cudaError_t error = CheckStream("cudaStreamQuery", stream); error != cudaSuccess)
    return error;
  if (!IsIdle(stream)) Progress();
  return IsIdle(stream) ? cudaSuccess : Set(cudaErrorNotReady);
}
cudaError_t cudaDeviceSynchronize() {
  DrainDevice(UseDevice("cudaDeviceSynchronize"));
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  if (const cudaError_t error = CheckStream("cudaLaunchHostFunc", stream); error != cudaSuccess)
    return error;
  Push(stream, {[=] { function(data); }, {}});
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  ++CallsSoFar().events;
  *event = new CUevent_st;
  (*event)->device = UseDevice("cudaEventCreate");
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}
// Work that waits for it, or has yet to reach it, goes on.
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ++CallsSoFar().events;
  if (event->destroyed)
    return Reject(cudaErrorInvalidResourceHandle, "cudaEventDestroy of a destroyed event");
  event->destroyed = true;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event->destroyed)
    return Reject(cudaErrorInvalidResourceHandle, "cudaEventRecord of a destroyed event");
  if (const cudaError_t error = CheckStream("cudaEventRecord", stream); error != cudaSuccess)
    return error;
  if (event->device != DeviceOf(stream))
    return Reject(cudaErrorInvalidResourceHandle, "cudaEventRecord of an event " +
                                                      OfDevice(event->device) + " on a stream " +
                                                      OfDevice(DeviceOf(stream)));
  event->last = std::make_shared<Moment>();
  event->last->stream = Push(stream, {[moment = event->last] { moment->complete = true; }, {}});
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  for (const cudaError_t error :
       {CheckStream("cudaStreamWaitEvent", stream), CheckEvent("cudaStreamWaitEvent", event)})
    if (error != cudaSuccess) return error;
  if (event->last != nullptr) Push(stream, {nullptr, event->last});
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  UseDevice("cudaEventQuery");
  if (const cudaError_t error = CheckEvent("cudaEventQuery", event); error != cudaSuccess)
    return error;
  if (event->last == nullptr || event->last->complete) return cudaSuccess;
  if (OnMachineThread()) Progress();
  return event->last->complete ? cudaSuccess : Set(cudaErrorNotReady);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  UseDevice("cudaEventSynchronize");
  if (const cudaError_t error = CheckEvent("cudaEventSynchronize", event); error != cudaSuccess)
    return error;
  if (event->last == nullptr || event->last->complete) return cudaSuccess;
  ++CallsSoFar().waits;
  DrainTo(event->last);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  for (const cudaEvent_t event : {start, end})
    if (const cudaError_t error = CheckEvent("cudaEventElapsedTime", event); error != cudaSuccess)
      return error;
  if (start->device != end->device)
    return Reject(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime between events " +
                                                      OfDevice(start->device) + " and " +
                                                      OfDevice(end->device));
  *milliseconds = 1.0f;
  return cudaSuccess;
}

}  // extern "C"
