// SPDX-License-Identifier: Apache-2.0
// Collectives between ranks. Every operation is enqueued on a stream: on a compute stream it is
// complete for later work of that stream; on an async stream it stays in flight, moves on in
// Stream::Poll and is waited for by an Event. Every rank of a group must make the same calls on it
// in the same order, whatever the streams; operations of several streams and groups may be in
// flight together and never mix. A communicator outlives its operations, and its calls and those
// of its streams come from the thread that made the world.
//
// Tensors are on the stream's device or on the host; those of the host are exchanged at once,
// without waiting for a device's stream.
//
// Sums are made in rank order in fp32 and rounded once, so that a result does not depend on the
// library's choice of algorithm, and all ranks of an AllReduce hold the same bits. Those of NCCL
// (nccl.h) are in its own order and rounded at each addition; all ranks hold the same bits there
// too.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "device/device.h"
#include "device/tensor.h"

namespace tl {

enum class ReduceOp : uint8_t { kSum, kMax };

enum class CollectiveKind : uint8_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kExchange
};
inline constexpr int kCollectiveKinds = 5;
const char* Name(CollectiveKind kind);  // "all_reduce", "reduce_scatter", ...

// An AllReduce of up to so many bytes sends them to every rank, which costs one latency; a larger
// one is a reduce-scatter and an all-gather. A Broadcast changes from sending the whole to a
// scatter and an all-gather at the same size.
inline constexpr int64_t kDirectBytes = 8 << 10;

// What this rank has put on the wire since the start or ResetStats, payload only, counted when the
// operation is called. For P ranks and a tensor x of b bytes, part r of which is its elements
// [r*n/P, (r+1)*n/P), own = the bytes of this rank's part:
//   AllReduce      b <= kDirectBytes: (P-1) b;
//                  else (b - own) + (P-1) own, which is 2 (P-1)/P b where P divides n
//   ReduceScatter  (P-1)/P of the bytes of in
//   AllGather      (P-1) times the bytes of in
//   Broadcast      b <= kDirectBytes: root (P-1) b, others 0;
//                  else root (b - own) + (P-1) own, others (P-2) own
//   Exchange       the bytes of its sends to other ranks
// NCCL is counted as if all its rings were one: AllReduce 2 (P-1)/P b, Broadcast b on all ranks but
// the one before the root.
struct CollectiveStats {
  int64_t calls = 0;
  int64_t bytes_sent = 0;
};
using CommStats = std::array<CollectiveStats, kCollectiveKinds>;

class Communicator {
 public:
  struct Transfer {
    int peer = 0;
    Tensor send;  // null: nothing to send
    Tensor recv;  // null: nothing to receive
  };

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // The same ranks' communicator for tensors of the host, at most this one itself.
  virtual Communicator& host() { return *this; }

  // Ranks with the same color form a group, ordered by key. name: for messages. Collective.
  virtual std::unique_ptr<Communicator> Split(int color, int key, const char* name = "split") = 0;

  // Tensors are contiguous and of one type; kMax and kSum for fp32 and int32, kSum also for bf16,
  // fp16 and int64. A maximum with NaN is NaN, but not over NCCL. They must stay valid until
  // the operation is complete.
  virtual void AllReduce(Stream& stream, Tensor x, ReduceOp op = ReduceOp::kSum) = 0;
  // out: [n / size], this rank's part of the sum of all ranks' in: [n]. out may be that part of in.
  virtual void ReduceScatter(Stream& stream, Tensor out, Tensor in) = 0;
  // out: [size * n], every rank's in: [n] in rank order. in may be its own part of out.
  virtual void AllGather(Stream& stream, Tensor out, Tensor in) = 0;
  virtual void Broadcast(Stream& stream, Tensor x, int root) = 0;
  // Sends and receives messages, all at once: send/recv, all-to-all, rings. Those of two ranks
  // match in the order of the lists; this rank itself may be a peer. Sizes must agree.
  virtual void Exchange(Stream& stream, absl::Span<const Transfer> transfers) = 0;
  // Waits for every rank of the group; in order after this stream's work.
  virtual void Barrier(Stream& stream) = 0;

  // Ends every rank of the whole job with this exit code (1 for 0).
  [[noreturn]] virtual void Abort(int exit_code) = 0;

  // Receive memory, kept for reuse; shared with the communicators split from the same world.
  virtual int64_t workspace_bytes() const { return 0; }

  const CommStats& stats() const { return stats_; }
  void ResetStats() { stats_ = {}; }

 protected:
  void Count(CollectiveKind kind, int64_t bytes_sent) {
    CollectiveStats& stats = stats_[static_cast<int>(kind)];
    ++stats.calls;
    stats.bytes_sent += bytes_sent;
  }

  CommStats stats_;
};

// Makes a group of one rank: every operation is a copy or nothing.
std::unique_ptr<Communicator> MakeSelfCommunicator();

// Tells whether this process was started by mpirun or srun with an MPI plug-in.
bool LaunchedUnderMpi();
// Initialises MPI (once, MPI_THREAD_FUNNELED: only this thread may call it), makes failed checks
// end every rank, sets the rank shown in messages, and returns the world. MPI is finalised at exit.
// A rank that exits with an error which the others do not share ends them all after 5 seconds.
std::unique_ptr<Communicator> MakeMpiWorld(int* argc, char*** argv);

// Returns OK on all ranks where every one passes OK, else an error with the message of the lowest
// failing rank (prefixed "rank R: " where the group has several ranks).
absl::Status AgreeOnStatus(Communicator& group, const absl::Status& mine);

}  // namespace tl
