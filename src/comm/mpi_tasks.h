// SPDX-License-Identifier: Apache-2.0
// Collectives as state machines of MPI_Isend, MPI_Irecv and MPI_Testall: Debian's Open MPI makes no
// progress by itself, so an operation moves on only when its stream is polled.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/workspaces.h"
#include "device/device.h"

namespace tl {

// Ends the job with MPI's own message if code is an error.
void CheckMpi(int code, const char* call, const std::string& where);

// Where the messages of one operation go. The tag is the number of the call on this communicator,
// so that operations in flight together never take each other's messages.
struct Route {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int64_t call = 0;
  const char* name = "";
  const char* group = "";

  int tag() const { return static_cast<int>(call % 32768); }  // the least that MPI allows
  std::string Describe() const;
  // Adds "waits for rank 3 on node7" to it: peers by their rank in the group.
  std::string DescribeWait(const std::set<int>& peers) const;
};

// Requests that complete together.
class Requests {
 public:
  // Cuts into messages that MPI's int counts can express. Nothing for zero bytes.
  void Send(const Route& route, int peer, const std::byte* data, int64_t bytes);
  void Receive(const Route& route, int peer, std::byte* data, int64_t bytes);
  // Tells whether all are complete, and then empties it. Checks that what came has its size.
  bool Test(const Route& route);
  bool empty() const { return requests_.empty(); }
  // Adds the peers whose messages are not complete.
  void AddPending(std::set<int>* peers) const;

 private:
  std::vector<MPI_Request> requests_;
  std::vector<int> peers_;
  std::vector<int> expected_;  // bytes to receive; -1 for a send
  std::vector<MPI_Status> statuses_;
};

struct Message {
  int peer = 0;
  std::byte* data = nullptr;
  int64_t bytes = 0;
};

struct LocalCopy {
  std::byte* dst = nullptr;
  const std::byte* src = nullptr;
  int64_t bytes = 0;
};

// Messages that travel together; a phase starts when the one before it is complete.
struct Phase {
  std::vector<LocalCopy> copies;
  std::vector<Message> sends;
  std::vector<Message> receives;
};

class MessageTask : public Task {
 public:
  MessageTask(Route route, std::vector<Phase> phases);
  ~MessageTask() override;
  bool Poll() override;
  std::string Describe() const override;

 private:
  Route route_;
  std::vector<Phase> phases_;
  size_t next_ = 0;  // phase to start
  Requests requests_;
};

// x of every rank to every rank, then the same reduction everywhere, into x.
class GatherReduceTask : public Task {
 public:
  GatherReduceTask(Route route, std::shared_ptr<Workspaces> workspaces, Tensor x, ReduceOp op);
  ~GatherReduceTask() override;
  bool Poll() override;
  std::string Describe() const override;

 private:
  Route route_;
  std::shared_ptr<Workspaces> workspaces_;
  Workspaces::Lease lease_;
  Tensor x_;
  ReduceOp op_;
  Requests requests_;
  bool done_ = false;
};

// Part r of in, its elements [r*n/P, (r+1)*n/P), from every rank to rank r, which reduces it into
// out. Travels in segments, a few in flight, so that arrived ones are summed out of the cache while
// others travel.
class ReduceScatterTask : public Task {
 public:
  ReduceScatterTask(Route route, std::shared_ptr<Workspaces> workspaces, std::byte* out, Tensor in,
                    ReduceOp op);
  ~ReduceScatterTask() override;
  bool Poll() override;
  std::string Describe() const override;

 private:
  static constexpr int kDepth = 4;

  struct Range {  // in bytes, within a part
    int64_t begin = 0;
    int64_t size = 0;
  };
  Range SegmentOf(int part, int64_t segment) const;
  int64_t SegmentsOf(int part) const;
  std::byte* Slot(int64_t segment, int peer) const;
  void PostSends(int64_t segment);
  void PostReceives(int64_t segment);
  void ReduceSegment(int64_t segment);

  Route route_;
  std::shared_ptr<Workspaces> workspaces_;
  Workspaces::Lease lease_;
  std::byte* out_;
  Tensor in_;
  ReduceOp op_;
  std::vector<int64_t> offsets_;  // bytes, P + 1
  int64_t segment_bytes_;
  int64_t sends_ = 0, sends_posted_ = 0, sends_done_ = 0;  // in segments
  int64_t receives_ = 0, receives_posted_ = 0, receives_done_ = 0;
  Requests sending_[kDepth];
  Requests receiving_[kDepth];
  std::vector<const std::byte*> rows_;
};

// One after the other.
class SequenceTask : public Task {
 public:
  explicit SequenceTask(std::vector<std::unique_ptr<Task>> tasks) : tasks_(std::move(tasks)) {}
  bool Poll() override;
  std::string Describe() const override;

 private:
  std::vector<std::unique_ptr<Task>> tasks_;
  size_t next_ = 0;
};

// Returns the offset in bytes of part `part` of n elements cut into `parts`.
inline int64_t PartOffset(const Tensor& x, int part, int parts) {
  return x.elements() * part / parts * static_cast<int64_t>(SizeOf(x.dtype));
}

// Sends every rank's own part of x to all others (P-1 messages), in place. Where root >= 0 its
// part is not sent on: the root has the whole of x already.
Phase GatherParts(const Route& route, const Tensor& x, int root = -1);

}  // namespace tl
