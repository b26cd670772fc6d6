// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <thread>
#include <vector>

#include "tests/simt/driver.h"
#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"

namespace tl::simt {
namespace {

std::vector<cudaStream_t>& Streams() {
  static auto* streams = new std::vector<cudaStream_t>;
  return *streams;
}

// Each device has a default stream.
cudaStream_t OrDefault(cudaStream_t stream) {
  static auto* standard = new std::map<int, CUstream_st>;
  if (stream != nullptr) return stream;
  cudaStream_t of_device = &(*standard)[CurrentDevice()];
  of_device->device = CurrentDevice();
  return of_device;
}

bool CanRun(cudaStream_t s) {
  return !s->queue.empty() &&
         (s->queue.front().after == nullptr || s->queue.front().after->complete);
}

// False where what comes first waits for other processes.
bool RunHead(cudaStream_t s) {
  if (const auto& poll = s->queue.front().poll) {
    if (!poll()) return false;
    s->queue.pop_front();
    return true;
  }
  const Work work = std::move(s->queue.front());
  s->queue.pop_front();
  if (work.run) work.run();
  return true;
}

std::vector<cudaStream_t> Ready() {
  std::vector<cudaStream_t> ready;
  for (cudaStream_t s : Streams())
    if (CanRun(s)) ready.push_back(s);
  return ready;
}

// One step towards the moment or the stream's end: the work itself, or what it waits for.
bool StepNeeded(cudaStream_t s) {
  for (int depth = 0; depth < 1000; ++depth) {
    if (s->queue.empty()) break;
    if (CanRun(s)) return RunHead(s);
    s = s->queue.front().after->stream;
  }
  Report("streams wait for each other and none can run");
  std::abort();
}

// Other processes may need what is in any stream before they can send what this one waits for.
void StepOthers(const std::vector<cudaStream_t>& ready, cudaStream_t wanted) {
  bool moved = false;
  for (cudaStream_t s : ready)
    if (s != wanted && CanRun(s)) moved = RunHead(s) || moved;
  if (!moved) sched_yield();
}

void Step(cudaStream_t wanted) {
  const std::vector<cudaStream_t> ready = Ready();
  if (CurrentOrder() == Order::kAscending || ready.empty()) {
    if (!StepNeeded(wanted)) StepOthers(ready, wanted);
    return;
  }
  if (CurrentOrder() == Order::kRandom) {
    if (!RunHead(ready[Random() % ready.size()])) sched_yield();
    return;
  }
  for (cudaStream_t s : ready)
    if (s != wanted && RunHead(s)) return;
  if (!CanRun(wanted) || !RunHead(wanted)) sched_yield();
}

const std::thread::id g_machine_thread = std::this_thread::get_id();

}  // namespace

cudaStream_t Push(cudaStream_t stream, Work work) {
  stream = OrDefault(stream);
  CheckStream("work", stream);
  auto& all = Streams();
  if (std::find(all.begin(), all.end(), stream) == all.end()) all.push_back(stream);
  stream->queue.push_back(std::move(work));
  return stream;
}

void Drain(cudaStream_t stream) {
  stream = OrDefault(stream);
  while (!stream->queue.empty()) Step(stream);
}

void DrainAll() {
  for (size_t i = 0; i < Streams().size(); ++i) Drain(Streams()[i]);
}

void DrainDevice(int device) {
  for (size_t i = 0; i < Streams().size(); ++i)
    if (Streams()[i]->device == device) Drain(Streams()[i]);
}

void DrainTo(const std::shared_ptr<Moment>& moment) {
  while (!moment->complete) Step(moment->stream);
}

void Progress() {
  const std::vector<cudaStream_t> ready = Ready();
  if (!ready.empty()) RunHead(ready[Random() % ready.size()]);
}

void ProgressForOthers() {
  const auto waits = [](const Work& work) { return work.poll != nullptr; };
  for (cudaStream_t s : Streams()) {
    if (std::any_of(s->queue.begin(), s->queue.end(), waits)) return StepOthers(Ready(), nullptr);
  }
}

bool OnMachineThread() { return std::this_thread::get_id() == g_machine_thread; }

bool IsIdle(cudaStream_t stream) { return OrDefault(stream)->queue.empty(); }

int DeviceOf(cudaStream_t stream) { return OrDefault(stream)->device; }

cudaError_t CheckStream(const std::string& call, cudaStream_t stream) {
  if (stream == nullptr || !stream->destroyed) return cudaSuccess;
  return Reject(cudaErrorInvalidResourceHandle,
                call + " on a stream " + OfDevice(stream->device) + " that was destroyed");
}

void Forget(cudaStream_t stream) {
  auto& all = Streams();
  all.erase(std::remove(all.begin(), all.end(), stream), all.end());
}

}  // namespace tl::simt
