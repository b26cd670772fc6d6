// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/reader.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/live_line.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "base/watchdog.h"
#include "checkpoint/intersect.h"

namespace tl {
namespace {

constexpr int kMaxOpenFiles = 64;

// Keeps retention away. Where the file system has no locks, nothing can.
absl::Status LockShared(const File& file, const std::string& path) {
  if (flock(file.fd(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return absl::UnavailableError(path + ": is being deleted");
  struct stat here, now;
  if (fstat(file.fd(), &here) != 0 || stat(path.c_str(), &now) != 0 || here.st_ino != now.st_ino)
    return absl::UnavailableError(path + ": was deleted or replaced");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckpointReader::OpenManifest(const std::string& path) {
  path_ = path;
  const std::string name = absl::StrCat(path, "/", kManifestName);
  TL_ASSIGN_OR_RETURN(lock_, OpenFile(name, O_RDONLY));
  TL_RETURN_IF_ERROR(LockShared(lock_, name));
  TL_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(lock_, kMaxManifestBytes, name));
  TL_ASSIGN_OR_RETURN(manifest_, ParseManifest(text, name));
  return absl::OkStatus();
}

absl::StatusOr<Manifest> CheckpointReader::ReadManifest(const std::string& path) {
  CheckpointReader reader;
  TL_RETURN_IF_ERROR(reader.OpenManifest(path));
  return std::move(reader.manifest_);
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> CheckpointReader::Open(const std::string& path) {
  std::unique_ptr<CheckpointReader> reader(new CheckpointReader);
  TL_RETURN_IF_ERROR(reader->OpenManifest(path));
  const Manifest& manifest = reader->manifest_;
  reader->open_.resize(manifest.files.size());
  reader->places_.resize(manifest.tensors.size());
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    TL_RETURN_IF_ERROR(reader->OpenShard(static_cast<int>(i)).status());
    for (const Piece& piece : manifest.files[i].pieces)
      reader->places_[piece.tensor].push_back({static_cast<int>(i), &piece});
  }
  return reader;
}

absl::StatusOr<const File*> CheckpointReader::OpenShard(int file) {
  if (open_[file]) return &open_[file];
  if (open_count_ == kMaxOpenFiles) {
    for (File& other : open_) other.Close();
    open_count_ = 0;
  }
  const FileRecord& record = manifest_.files[file];
  const std::string path = path_ + "/" + record.name;
  // Not through a link out of the folder; a pipe must not block.
  TL_ASSIGN_OR_RETURN(File opened, OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  TL_ASSIGN_OR_RETURN(const int64_t bytes, FileSize(opened, path));
  if (bytes != record.bytes)
    return absl::DataLossError(
        absl::StrCat(path, ": has ", bytes, " bytes, expected ", record.bytes));
  open_[file] = std::move(opened);
  ++open_count_;
  return &open_[file];
}

absl::StatusOr<int> CheckpointReader::Find(const std::string& name, const std::string& role,
                                           const Shape& shape) const {
  const int tensor = manifest_.Find(name, role);
  if (tensor < 0)
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": no tensor \"", role, "/", name, "\""));
  if (!(manifest_.tensors[tensor].shape == shape))
    return absl::FailedPreconditionError(absl::StrCat(
        path_, ": tensor \"", name, "\" has the shape ", ToString(manifest_.tensors[tensor].shape),
        ", the model needs ", ToString(shape)));
  return tensor;
}

// Block `first`, `count` elements of it, into block_.
absl::Status CheckpointReader::ReadBlock(const Place& place, int64_t first, int64_t count) {
  const FileRecord& record = manifest_.files[place.file];
  const std::string path = path_ + "/" + record.name;
  TL_ASSIGN_OR_RETURN(const File* file, OpenShard(place.file));
  const auto width = static_cast<int64_t>(SizeOf(manifest_.tensors[place.piece->tensor].dtype));
  block_.resize(static_cast<size_t>(count * width));
  TL_RETURN_IF_ERROR(
      ReadAt(*file, block_.data(), block_.size(), place.piece->offset + first * width, path));
  Beat();
  if (Crc32c(block_.data(), block_.size()) !=
      place.piece->crcs[static_cast<size_t>(first * width / manifest_.block_bytes)])
    return absl::DataLossError(
        absl::StrCat(path, ": damaged: ", DatasetName(manifest_.tensors[place.piece->tensor]),
                     " fails its checksum, bytes ", place.piece->offset + first * width, " to ",
                     place.piece->offset + (first + count) * width));
  return absl::OkStatus();
}

absl::Status CheckpointReader::Read(int tensor, const Box& box, int64_t begin, int64_t end,
                                    std::byte* out) {
  const TensorRecord& record = manifest_.tensors[tensor];
  const auto width = static_cast<int64_t>(SizeOf(record.dtype));
  const int64_t block = manifest_.block_bytes / width;
  for (const Place& place : places_[tensor]) {
    const BoxPair pair(place.piece->box, box, record.shape);
    const int64_t stored = place.piece->elements();
    for (int64_t first = 0; first < stored; first += block) {
      const int64_t count = std::min(block, stored - first);
      const int64_t from = place.piece->begin + first;
      absl::Status status;
      bool loaded = false;
      pair.ForEachRun(from, from + count, [&](int64_t in_piece, int64_t in_box, int64_t n) {
        const int64_t low = std::max(in_box, begin), high = std::min(in_box + n, end);
        if (low >= high || !status.ok()) return;
        if (!loaded) status = ReadBlock(place, first, count);
        loaded = true;
        if (status.ok())
          std::memcpy(out + (low - begin) * width,
                      block_.data() + (in_piece + low - in_box - from) * width,
                      static_cast<size_t>((high - low) * width));
      });
      TL_RETURN_IF_ERROR(status);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckpointReader::ReadFloats(int tensor, const Box& box, int64_t begin, int64_t end,
                                          float* out) {
  const DType dtype = manifest_.tensors[tensor].dtype;
  auto* bytes = reinterpret_cast<std::byte*>(out);
  if (dtype == DType::kF32) return Read(tensor, box, begin, end, bytes);
  // The upper half of the output first holds the narrow values, which are widened from the front.
  const int64_t n = end - begin;
  std::byte* narrow = bytes + n * 2;
  TL_RETURN_IF_ERROR(Read(tensor, box, begin, end, narrow));
  for (int64_t i = 0; i < n; ++i) {
    float value;
    if (dtype == DType::kBF16) {
      BF16 x;
      std::memcpy(&x, narrow + i * 2, sizeof(x));
      value = ToFloat(x);
    } else {
      F16 x;
      std::memcpy(&x, narrow + i * 2, sizeof(x));
      value = ToFloat(x);
    }
    out[i] = value;
  }
  return absl::OkStatus();
}

absl::Status CheckpointReader::ReadRest(const File& file, const std::string& path, int64_t begin,
                                        int64_t end, uint32_t* crc) {
  while (begin < end) {
    block_.resize(static_cast<size_t>(std::min(end - begin, kBlockBytes)));
    TL_RETURN_IF_ERROR(ReadAt(file, block_.data(), block_.size(), begin, path));
    *crc = ExtendCrc32c(*crc, block_.data(), block_.size());
    begin += static_cast<int64_t>(block_.size());
  }
  return absl::OkStatus();
}

absl::Status CheckpointReader::VerifyFiles(const std::function<void(const std::string&)>& report) {
  ProgressBar bar("verify", manifest_.bytes(), ProgressUnit::kBytes, path_);
  absl::Status first;
  const auto note = [&](const absl::Status& status) {
    if (status.ok()) return;
    if (first.ok()) first = status;
    EraseLiveLine();  // the report may be printed
    report(std::string(status.message()));
  };
  for (size_t i = 0; i < manifest_.files.size(); ++i) {
    const FileRecord& record = manifest_.files[i];
    const std::string path = path_ + "/" + record.name;
    uint32_t crc = 0;
    int64_t rest = 0;
    absl::Status status;
    const auto read_rest = [&](int64_t end) {
      const absl::StatusOr<const File*> file = OpenShard(static_cast<int>(i));
      if (status.ok()) status = file.status();
      if (status.ok()) status = ReadRest(**file, path, rest, end, &crc);
    };
    for (const Piece& piece : record.pieces) {
      read_rest(piece.offset);
      const auto width = static_cast<int64_t>(SizeOf(manifest_.tensors[piece.tensor].dtype));
      const int64_t block = manifest_.block_bytes / width;
      for (int64_t at = 0; at < piece.elements() && status.ok(); at += block) {
        const int64_t count = std::min(block, piece.elements() - at);
        note(ReadBlock({static_cast<int>(i), &piece}, at, count));
        bar.Add(count * width);
      }
      rest = piece.offset + manifest_.piece_bytes(piece);
    }
    read_rest(record.bytes);
    note(status);
    if (status.ok() && crc != record.rest_crc)
      note(absl::DataLossError(path + ": damaged: HDF5's own bytes fail their checksum"));
  }
  return first;
}

}  // namespace tl
