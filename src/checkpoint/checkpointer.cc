// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/checkpointer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/host_memory.h"
#include "base/logging.h"
#include "base/philox.h"
#include "base/status.h"
#include "checkpoint/health.h"
#include "data/model_text.h"

namespace tl {
namespace {

// HDF5's part of a shard, the manifest and model.h5, per file.
constexpr int64_t kOverheadBytes = 64 << 10;
// What one thread copies at a time.
constexpr int64_t kCopyBytes = 1 << 20;

int64_t Bytes(const std::vector<LocalPiece>& pieces) {
  int64_t bytes = 0;
  for (const LocalPiece& piece : pieces)
    for (const MemoryRun& run : piece.runs) bytes += run.bytes;
  return bytes;
}

// Host memory to host memory, on all threads.
void CopyInParallel(const std::vector<std::pair<std::byte*, MemoryRun>>& copies) {
  std::vector<std::pair<std::byte*, MemoryRun>> parts;
  for (const auto& [to, from] : copies) {
    for (int64_t at = 0; at < from.bytes; at += kCopyBytes)
      parts.push_back({to + at, {from.data + at, std::min(kCopyBytes, from.bytes - at)}});
  }
#pragma omp parallel for schedule(dynamic, 4)
  for (const auto& [to, from] : parts) std::memcpy(to, from.data, static_cast<size_t>(from.bytes));
}

// Reads a piece where it lies.
absl::Status FillFromRuns(const std::vector<MemoryRun>& runs, int64_t begin, int64_t bytes,
                          std::byte* out) {
  for (const MemoryRun& run : runs) {
    if (begin < run.bytes && bytes > 0) {
      const int64_t n = std::min(run.bytes - begin, bytes);
      std::memcpy(out, run.data + begin, static_cast<size_t>(n));
      out += n;
      bytes -= n;
      begin = 0;
    } else {
      begin -= std::min(begin, run.bytes);
    }
  }
  return absl::OkStatus();
}

}  // namespace

Checkpointer::Checkpointer(CheckpointOptions options, Mesh& mesh, const ParamTable& table,
                           const ShardedState& state)
    : options_(std::move(options)),
      mesh_(mesh),
      table_(table),
      state_(state),
      tensors_(TensorsOf(table, state.bucket_roles())) {}

int64_t Checkpointer::HostBytes(const ParamTable& table, const BucketRoles& roles, bool async,
                                Device device) {
  if (!async && device.type == DeviceType::kCpu) return 0;
  return ShardedState::Bytes(table, DType::kBF16, roles);  // masters and states
}

absl::StatusOr<std::unique_ptr<Checkpointer>> Checkpointer::Open(CheckpointOptions options,
                                                                 Mesh& mesh,
                                                                 const ParamTable& table,
                                                                 const ShardedState& state) {
  std::unique_ptr<Checkpointer> saves(new Checkpointer(std::move(options), mesh, table, state));
  absl::Status status;
  if (mesh.world().rank() == 0) {
    status = MakeWritableFolder(saves->options_.folder);
    if (status.ok()) {
      auto lock = FolderLock::Take(saves->options_.folder);
      status = lock.status();
      if (lock.ok()) saves->lock_ = std::move(lock).value();
    }
    if (saves->lock_.held()) RemoveLeftovers(saves->options_.folder);
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(mesh.world(), status));
  const Device device = state.device();
  const int64_t bytes =
      Checkpointer::HostBytes(table, state.bucket_roles(), saves->options_.async, device);
  if (bytes > 0) {
    saves->snapshot_ = Buffer::AllocateHost(device, static_cast<size_t>(bytes));
    // Page faults now and not in the middle of the training.
    std::memset(saves->snapshot_.data(), 0, saves->snapshot_.size());
  }
  return saves;
}

Checkpointer::~Checkpointer() {
  writer_.Wait(written_);
  // Until rank 0 commits, which takes a Poll of all ranks, the folder is any rank's to remove: the
  // last one that wrote into it leaves nothing.
  const bool shards = phase_ == Phase::kShards;
  const bool failed = phase_ == Phase::kCommit && !writer_.status().ok();
  std::error_code ignored;
  if (shards || failed) std::filesystem::remove_all(temporary_, ignored);
}

absl::Status Checkpointer::CheckSpace() {
  int64_t needed = Bytes(PiecesOf(table_, state_, -1, Copies::kOne)) + kOverheadBytes;
  Stream stream = Stream::Cpu();
  mesh_.world().AllReduce(stream, Tensor::Of(&needed, {1}));
  if (mesh_.world().rank() != 0) return absl::OkStatus();
  struct statvfs disk;
  if (statvfs(options_.folder.c_str(), &disk) != 0)
    return SystemError(options_.folder, "read the free space", errno);
  const auto free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  if (static_cast<double>(needed) <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      options_.folder, ": cannot write a checkpoint of ", HumanBytes(needed), ": only ",
      HumanBytes(static_cast<int64_t>(free)), " are free: ", strerror(ENOSPC)));
}

absl::Status Checkpointer::MakeTemporary(int64_t step) {
  const bool root = mesh_.world().rank() == 0;
  const auto now = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                         std::chrono::nanoseconds(1));
  uint64_t id = Philox(now, static_cast<uint64_t>(getpid()), 0).w[0];
  Stream stream = Stream::Cpu();
  mesh_.world().Broadcast(stream, Tensor::Of(reinterpret_cast<uint8_t*>(&id), {sizeof(id)}), 0);
  temporary_ = absl::StrCat(options_.folder, "/", TemporaryName(step, absl::StrFormat("%08x", id)));
  if (!root || mkdir(temporary_.c_str(), 0777) == 0) return absl::OkStatus();
  return SystemError(temporary_, "make the folder", errno);
}

// The pieces as they are now: copied to the snapshot where there is one, else where they lie.
std::vector<ShardPiece> Checkpointer::Snapshot(Stream& stream) {
  const std::vector<LocalPiece> local = PiecesOf(table_, state_, -1, Copies::kOne);
  std::vector<ShardPiece> pieces;
  std::vector<std::pair<std::byte*, MemoryRun>> copies;
  std::byte* to = snapshot_.data();
  for (const LocalPiece& piece : local) {
    ShardPiece out{.tensor = piece.tensor,
                   .box = piece.box,
                   .begin = piece.begin,
                   .end = piece.end,
                   .data = nullptr,
                   .fill = nullptr};
    if (to != nullptr) {
      out.data = to;
      for (const MemoryRun& run : piece.runs) {
        copies.push_back({to, run});
        to += run.bytes;
      }
    } else if (piece.runs.size() == 1) {
      out.data = piece.runs[0].data;
    } else {
      const int64_t width = SizeOf(tensors_[piece.tensor].dtype);
      out.fill = [runs = piece.runs, width](int64_t first, int64_t count, std::byte* block) {
        return FillFromRuns(runs, first * width, count * width, block);
      };
    }
    pieces.push_back(std::move(out));
  }
  stream.Synchronize();
  if (state_.device().type == DeviceType::kCpu) {
    CopyInParallel(copies);
  } else {
    for (const auto& [host, run] : copies)
      CopyBytes(stream, host, run.data, static_cast<size_t>(run.bytes));
    stream.Synchronize();
  }
  return pieces;
}

absl::Status Checkpointer::Start(Stream& stream, const RunState& run) {
  TL_CHECK(phase_ == Phase::kIdle) << "a save is in flight";
  if (run.unhealthy_since > 0) {
    const bool root = mesh_.world().rank() == 0;
    TL_RETURN_IF_ERROR(AgreeOnStatus(
        mesh_.world(), root ? CheckReplacesNoHealthy(options_.folder, run.step, run.unhealthy_since)
                            : absl::OkStatus()));
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(mesh_.world(), CheckSpace()));
  TL_RETURN_IF_ERROR(AgreeOnStatus(mesh_.world(), MakeTemporary(run.step)));
  manifest_ = {};
  manifest_.run = run;
  manifest_.data_size = mesh_.data_size();
  manifest_.tensor_size = mesh_.tensor_size();
  manifest_.provenance = options_.provenance;
  manifest_.config = options_.config;
  manifest_.data = options_.data;
  manifest_.tokenizer_hash = options_.tokenizer_hash;
  manifest_.tensors = tensors_;
  phase_ = Phase::kShards;
  writer_.Post([this, pieces = Snapshot(stream)]() -> absl::Status {
    const std::string name = absl::StrFormat("shard_%04d.h5", mesh_.world().rank());
    TL_ASSIGN_OR_RETURN(
        file_, WriteShard(temporary_, name, tensors_, pieces, manifest_.block_bytes, &written_));
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

// To rank 0: what every rank wrote, in the order of the ranks.
absl::Status Checkpointer::GatherFiles() {
  Communicator& world = mesh_.world();
  Stream stream = Stream::Cpu();
  const bool root = world.rank() == 0;
  std::string mine = WriteFileRecord(file_);
  auto size = static_cast<int64_t>(mine.size());
  std::vector<int64_t> sizes(root ? world.size() : 0);
  std::vector<std::string> texts(sizes.size());
  const auto exchange = [&](const auto& memory_of, Tensor own) {
    std::vector<Communicator::Transfer> transfers;
    if (!root) transfers.push_back({.peer = 0, .send = own, .recv = {}});
    for (int peer = 1; root && peer < world.size(); ++peer)
      transfers.push_back({.peer = peer, .send = {}, .recv = memory_of(peer)});
    world.Exchange(stream, transfers);
  };
  exchange([&](int peer) { return Tensor::Of(&sizes[peer], {1}); }, Tensor::Of(&size, {1}));
  const auto bytes_of = [](std::string& text) {
    return Tensor::Of(reinterpret_cast<uint8_t*>(text.data()), {static_cast<int64_t>(text.size())});
  };
  exchange(
      [&](int peer) {
        texts[peer].resize(static_cast<size_t>(sizes[peer]));
        return bytes_of(texts[peer]);
      },
      bytes_of(mine));
  if (!root) return absl::OkStatus();
  manifest_.files = {file_};
  for (int peer = 1; peer < world.size(); ++peer) {
    TL_ASSIGN_OR_RETURN(FileRecord file,
                        ParseFileRecord(texts[peer], manifest_, absl::StrCat("rank ", peer)));
    manifest_.files.push_back(std::move(file));
  }
  return absl::OkStatus();
}

// On rank 0's writer.
absl::Status Checkpointer::Commit() {
  TL_RETURN_IF_ERROR(CopyModelText(options_.run_dir, temporary_));
  TL_RETURN_IF_ERROR(FinishCheckpoint(temporary_, &manifest_));
  TL_RETURN_IF_ERROR(CommitCheckpoint(options_.folder, temporary_, manifest_.run.step));
  Retain(options_.folder, manifest_.run.step, options_.keep, options_.keep_every);
  return absl::OkStatus();
}

// Gives a full disk its space back.
absl::Status Checkpointer::Fail(absl::Status status) {
  phase_ = Phase::kIdle;
  std::error_code ignored;
  if (mesh_.world().rank() == 0) std::filesystem::remove_all(temporary_, ignored);
  return status;
}

absl::Status Checkpointer::Poll() {
  if (phase_ == Phase::kIdle) return absl::OkStatus();
  int32_t busy = writer_.busy();
  Stream stream = Stream::Cpu();
  mesh_.world().AllReduce(stream, Tensor::Of(&busy, {1}), ReduceOp::kMax);
  if (busy != 0) return absl::OkStatus();
  absl::Status status = AgreeOnStatus(mesh_.world(), writer_.status());
  if (!status.ok()) return Fail(std::move(status));
  if (phase_ == Phase::kCommit) {
    phase_ = Phase::kIdle;
    return absl::OkStatus();
  }
  status = AgreeOnStatus(mesh_.world(), GatherFiles());
  if (!status.ok()) return Fail(std::move(status));
  phase_ = Phase::kCommit;
  if (mesh_.world().rank() == 0) writer_.Post([this] { return Commit(); });
  return absl::OkStatus();
}

absl::Status Checkpointer::Wait() {
  while (phase_ != Phase::kIdle) {
    writer_.Wait(written_);
    TL_RETURN_IF_ERROR(Poll());
  }
  return absl::OkStatus();
}

}  // namespace tl
