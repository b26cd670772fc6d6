// Collectives between ranks. Every operation is enqueued on a stream: on a compute stream it is
// complete for later work of that stream; on an async stream it stays in flight and is waited for
// by an Event. Every rank of the group must make the same calls in the same order per stream.
//
// Sums are made in rank order in fp32 and rounded once, so that a result does not depend on the
// library's choice of algorithm, and all ranks of an AllReduce hold the same bits.
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
const char* Name(CollectiveKind kind);

// What this rank has put on the wire, payload only.
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

  // Ranks with the same color form a group, ordered by key. Collective.
  virtual std::unique_ptr<Communicator> Split(int color, int key) = 0;

  // Tensors are contiguous and of one type; kMax and kSum for fp32 and int32, kSum also for bf16,
  // fp16 and int64. They must stay valid until the operation is complete.
  virtual void AllReduce(Stream& stream, Tensor x, ReduceOp op = ReduceOp::kSum) = 0;
  // out: [n / size], this rank's part of the sum of all ranks' in: [n]. out may be that part of in.
  virtual void ReduceScatter(Stream& stream, Tensor out, Tensor in) = 0;
  // out: [size * n], every rank's in: [n] in rank order. in may be its own part of out.
  virtual void AllGather(Stream& stream, Tensor out, Tensor in) = 0;
  virtual void Broadcast(Stream& stream, Tensor x, int root) = 0;
  // Point-to-point messages, all at once: send/recv, all-to-all, rings.
  virtual void Exchange(Stream& stream, absl::Span<const Transfer> transfers) = 0;
  // Waits for every rank of the group; in order after this stream's work.
  virtual void Barrier(Stream& stream) = 0;

  // Ends every rank of the whole job with this exit code.
  [[noreturn]] virtual void Abort(int exit_code) = 0;

  const CommStats& stats() const { return stats_; }
  void ResetStats() { stats_ = {}; }

 protected:
  CommStats stats_;
};

// A group of one rank: every operation is a copy or nothing.
std::unique_ptr<Communicator> MakeSelfCommunicator();

// True where this process was started by mpirun or srun with an MPI plug-in.
bool LaunchedUnderMpi();
// Initialises MPI (once), makes failed checks end every rank, and returns the world. MPI is
// finalised at exit.
std::unique_ptr<Communicator> MakeMpiWorld(int* argc, char*** argv);

// Every rank passes its own status; all get OK where all are, else an error that carries the
// message of the lowest failing rank (prefixed "rank R: " where the group has several ranks).
absl::Status AgreeOnStatus(Communicator& group, const absl::Status& mine);

}  // namespace tl
