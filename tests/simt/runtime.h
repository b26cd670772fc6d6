// SPDX-License-Identifier: Apache-2.0
// Queues of work that run as late and as interleaved as events and synchronizations allow.
// Ascending order: nothing runs before somebody waits for it, and only what that wait needs;
// descending: everything else that can run goes first; random: by lot.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace tl::simt {

struct Moment {  // a record of an event; other threads may ask whether it is complete
  std::atomic<bool> complete = false;
  CUstream_st* stream = nullptr;
};

struct Work {
  std::function<void()> run;
  std::shared_ptr<Moment> after;  // may be null
  // Instead of run, where other processes have a part: asked again until it says that it is done.
  std::function<bool()> poll = nullptr;
};

// Returns the stream, where it was null the default one.
cudaStream_t Push(cudaStream_t stream, Work work);
void Drain(cudaStream_t stream);
void DrainAll();
void DrainDevice(int device);
// Until the moment is complete.
void DrainTo(const std::shared_ptr<Moment>& moment);
// Runs at most one piece of work, as a poll might find.
void Progress();
// Where something in a queue waits for other processes: one piece of work of every stream, for what
// they wait for.
void ProgressForOthers();
// Kernels and queues run in the thread that started the program.
bool OnMachineThread();
bool IsIdle(cudaStream_t stream);

}  // namespace tl::simt

// Neither is ever freed, so that its use after its end is seen.
struct CUstream_st {
  std::deque<tl::simt::Work> queue;
  int device = 0;
  std::atomic<bool> destroyed = false;
};

struct CUevent_st {
  std::shared_ptr<tl::simt::Moment> last;
  int device = 0;
  std::atomic<bool> destroyed = false;
};
