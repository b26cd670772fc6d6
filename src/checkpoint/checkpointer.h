// SPDX-License-Identifier: Apache-2.0
// Saves of a run. Every rank writes its shard, rank 0 makes them a checkpoint:
//   Start   makes step_N.tmp-<id>/, copies this rank's state to host memory where training goes on
//           meanwhile, and lets a thread write the shard and sync it
//   Poll    at step boundaries: once all ranks have written, rank 0 gathers what they wrote and
//           lets its thread write model.h5 and the manifest, rename the folder and delete old ones
// A save fails on all ranks or on none; a failed one leaves the checkpoints before it as they were.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/worker_thread.h"
#include "checkpoint/folder.h"
#include "checkpoint/local_pieces.h"
#include "checkpoint/run_state.h"
#include "checkpoint/shard_file.h"
#include "comm/mesh.h"
#include "device/device.h"
#include "optim/sharded_state.h"

namespace tl {

struct CheckpointOptions {
  std::string folder;
  std::string run_dir = {};  // its text, where it has one, goes into every checkpoint
  int64_t keep = 2;          // the newest healthy so many; 0: all
  int64_t keep_every = 0;    // and steps that are multiples; 0: none
  bool async = false;        // training goes on while the writer writes
  std::string config = {};   // TOML, kept in the manifest, as is what follows
  std::map<std::string, std::string> provenance = {};
  std::vector<FileIdentity> data = {};
  uint64_t tokenizer_hash = 0;
};

// All calls are collective and from the main thread.
class Checkpointer {
 public:
  // Makes the folder, takes its lock and removes what dead runs left there. table and state outlive
  // the checkpointer.
  static absl::StatusOr<std::unique_ptr<Checkpointer>> Open(CheckpointOptions options, Mesh& mesh,
                                                            const ParamTable& table,
                                                            const ShardedState& state);
  // Waits for this rank's writer. A save that is not committed by then is lost.
  ~Checkpointer();
  // Bytes of host memory that saves take on a rank whose state is on this device.
  static int64_t HostBytes(const ParamTable& table, const BucketRoles& roles, bool async,
                           Device device);

  // Begins a save of the present state; none may be in flight. Without `async` the state must not
  // change before Wait returns. An error (AlreadyExists), and nothing is written, where the state
  // is unhealthy and a healthy checkpoint of its step is there.
  absl::Status Start(Stream& stream, const RunState& run);
  bool in_flight() const { return phase_ != Phase::kIdle; }
  // Moves the save in flight on where it can without waiting. An error is that of the save, which
  // is over then.
  absl::Status Poll();
  // Waits until the save in flight is durable.
  absl::Status Wait();

  const std::string& folder() const { return options_.folder; }
  double writer_cpu_seconds() const { return writer_.cpu_seconds(); }

 private:
  enum class Phase : uint8_t { kIdle, kShards, kCommit };

  Checkpointer(CheckpointOptions options, Mesh& mesh, const ParamTable& table,
               const ShardedState& state);
  absl::Status CheckSpace();
  absl::Status MakeTemporary(int64_t step);
  std::vector<ShardPiece> Snapshot(Stream& stream);
  absl::Status GatherFiles();
  absl::Status Commit();
  absl::Status Fail(absl::Status status);

  CheckpointOptions options_;
  Mesh& mesh_;
  const ParamTable& table_;
  const ShardedState& state_;
  FolderLock lock_;
  std::vector<TensorRecord> tensors_;
  Buffer snapshot_;

  Phase phase_ = Phase::kIdle;
  std::string temporary_;
  Manifest manifest_;  // of the save in flight
  FileRecord file_;    // that this rank wrote
  std::atomic<int64_t> written_ = 0;
  // It takes what the training's threads leave, and a tenth of a core beside one that leaves none.
  WorkerThread writer_{/*nice=*/10};
};

}  // namespace tl
