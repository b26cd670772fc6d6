// SPDX-License-Identifier: Apache-2.0
// A communicator of NCCL's stand-in, and NCCL's rules of who may call it and in which order its
// operations run.
#pragma once

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "tests/simt/nccl/wire.h"
#include "tests/simt/runtime.h"

struct ncclComm {
  int rank = 0, size = 1;
  int number = 0;               // part of the tags
  std::vector<int> world_rank;  // of each rank
  int64_t operations = 0;
  std::map<int, int> sent, received;  // messages to and from each peer
  int open = 0;                       // operations in flight
  std::atomic<int> unsettled = 0;     // calls of CommGetAsyncError until it is ready
  std::function<void()> then;         // what happens when it is
  bool stuck = false;                 // it never is
  bool finalized = false;
  std::shared_ptr<tl::simt::Moment> last;  // the end of the operation before, on any stream
  std::atomic<bool> inside = false;        // a thread is in a call
  std::atomic<tl::nccl::Result> error = tl::nccl::kSuccess;
  std::atomic<bool> aborted = false;
};

namespace tl::simt {

enum class Fault { kNone, kHang, kError, kStuck };

inline Fault FaultOf(int64_t operation) {
  static const char* const text = std::getenv("TL_SIMT_NCCL");
  if (text == nullptr) return Fault::kNone;
  char what[8];
  int rank;
  long long at;
  if (std::sscanf(text, "%7[a-z]:%d:%lld", what, &rank, &at) != 3) std::abort();
  if (rank != WorldRank() || at != operation) return Fault::kNone;
  const std::string fault = what;
  return fault == "hang" ? Fault::kHang : fault == "stuck" ? Fault::kStuck : Fault::kError;
}

// A call in a communicator. One thread at a time may be in it, or have a call in progress there;
// ncclCommAbort alone does not ask.
class Inside {
 public:
  Inside(Comm comm, const char* call) : comm_(comm), first_(!comm->inside.exchange(true)) {
    const std::string name = call;
    if (!first_) Refuse(name + " while another thread is in a call of the communicator");
    if (comm->unsettled > 0 && !OnMachineThread())
      Refuse(name + " while another thread has a call of the communicator in progress");
  }
  ~Inside() {
    if (first_) comm_->inside = false;
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Comm comm_;
  bool first_;
};

// Whether the communicator may be used.
inline Result Ready(Comm comm, const char* call) {
  const std::string name = call;
  if (!OnMachineThread()) Refuse(name + " in another thread");
  if (comm->unsettled > 0) {
    Refuse(name + " on a communicator that has another call in progress");
    return kInvalidArgument;
  }
  if (comm->finalized) {
    Refuse(name + " on a communicator that is finalized");
    return kInvalidArgument;
  }
  return comm->error;
}

// What a call returns that does not block: NCCL does the rest in a thread of its own. So nothing is
// on a stream before the caller has asked until the call is through.
inline Result InProgress(Comm comm, std::function<void()> then) {
  comm->then = std::move(then);
  comm->unsettled = 3;
  return kInProgress;
}

// Puts an operation on a stream. It starts after the communicator's operation before, on whatever
// stream that is. One rank alone copies, which knows no order.
inline void PushInOrder(Comm comm, cudaStream_t stream, std::function<bool()> poll) {
  if (comm->size == 1) {
    Push(stream, {nullptr, nullptr, std::move(poll)});
    return;
  }
  Push(stream, {nullptr, comm->last});
  Push(stream, {nullptr, nullptr, std::move(poll)});
  comm->last = std::make_shared<Moment>();
  comm->last->stream = Push(stream, {[moment = comm->last] { moment->complete = true; }, nullptr});
}

}  // namespace tl::simt
