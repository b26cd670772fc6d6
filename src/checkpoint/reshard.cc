// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/reshard.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/progress_bar.h"
#include "base/remove_on_signal.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/run_text.h"
#include "checkpoint/shard_file.h"

namespace tl {
namespace {

// Elements that are read at a time.
constexpr int64_t kChunk = kBlockBytes / static_cast<int64_t>(sizeof(float));

struct Part {
  Box box;
  int64_t begin = 0, end = 0;
};

// What of a tensor rank (data_rank, tensor_rank) of a grid stores.
Part PartOf(const TensorRecord& record, int data, int tensor, int data_rank, int tensor_rank) {
  Part part;
  part.box = Box::Whole(record.shape);
  const int axis = record.split_axis;
  if (axis < 0) {
    if (tensor_rank != 0) return part;
  } else {
    const int64_t whole = record.shape[axis], size = (whole + tensor - 1) / tensor;
    part.box.begin[axis] = std::min(tensor_rank * size, whole);
    part.box.size[axis] = std::min(size, whole - part.box.begin[axis]);
  }
  const int64_t elements = part.box.elements(), share = (elements + data - 1) / data;
  part.begin = std::min(data_rank * share, elements);
  part.end = std::min(part.begin + share, elements);
  return part;
}

int64_t Bytes(const TensorRecord& record, int64_t elements) {
  return elements * static_cast<int64_t>(SizeOf(record.dtype));
}

int64_t TensorBytes(const Manifest& manifest) {
  int64_t bytes = 0;
  for (const TensorRecord& record : manifest.tensors)
    bytes += Bytes(record, record.shape.elements());
  return bytes;
}

absl::Status WriteAllShards(CheckpointReader& from, const std::string& folder, Manifest* manifest) {
  ProgressBar bar("reshard", TensorBytes(*manifest), ProgressUnit::kBytes, from.path());
  const int data = manifest->data_size, tensor = manifest->tensor_size;
  for (int rank = 0; rank < data * tensor; ++rank) {
    std::vector<ShardPiece> pieces;
    for (size_t i = 0; i < manifest->tensors.size(); ++i) {
      const int index = static_cast<int>(i);
      const Part part = PartOf(manifest->tensors[i], data, tensor, rank / tensor, rank % tensor);
      if (part.begin == part.end) continue;
      ShardPiece piece;
      piece.tensor = index;
      piece.box = part.box;
      piece.begin = part.begin;
      piece.end = part.end;
      piece.fill = [&from, &bar, &record = manifest->tensors[i], index, part](
                       int64_t first, int64_t count, std::byte* out) {
        bar.Add(Bytes(record, count));
        return from.Read(index, part.box, part.begin + first, part.begin + first + count, out);
      };
      pieces.push_back(std::move(piece));
    }
    TL_ASSIGN_OR_RETURN(FileRecord file,
                        WriteShard(folder, absl::StrFormat("shard_%04d.h5", rank),
                                   manifest->tensors, pieces, manifest->block_bytes));
    manifest->files.push_back(std::move(file));
  }
  return FinishCheckpoint(folder, manifest);
}

// Calls visit(values, count) for a tensor from front to back.
template <typename Visit>
absl::Status ForEachChunk(CheckpointReader& reader, int tensor, const Visit& visit) {
  const Shape& shape = reader.manifest().tensors[tensor].shape;
  const int64_t elements = shape.elements();
  std::vector<float> values(static_cast<size_t>(std::min(elements, kChunk)));
  for (int64_t begin = 0; begin < elements; begin += kChunk) {
    const int64_t count = std::min(kChunk, elements - begin);
    TL_RETURN_IF_ERROR(
        reader.ReadFloats(tensor, Box::Whole(shape), begin, begin + count, values.data()));
    TL_RETURN_IF_ERROR(visit(values.data(), begin, count));
  }
  return absl::OkStatus();
}

bool SameBits(float a, float b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

absl::StatusOr<TensorDifference> CompareTensor(CheckpointReader& a, int in_a, CheckpointReader& b,
                                               int in_b, ProgressBar& bar) {
  TensorDifference difference;
  difference.tensor = DatasetName(a.manifest().tensors[in_a]).substr(1);
  const Shape& shape = a.manifest().tensors[in_a].shape;
  std::vector<float> others;
  TL_RETURN_IF_ERROR(
      ForEachChunk(a, in_a, [&](const float* values, int64_t begin, int64_t count) -> absl::Status {
        bar.Add(Bytes(a.manifest().tensors[in_a], count));
        others.resize(static_cast<size_t>(count));
        TL_RETURN_IF_ERROR(
            b.ReadFloats(in_b, Box::Whole(shape), begin, begin + count, others.data()));
        for (int64_t i = 0; i < count; ++i) {
          if (SameBits(values[i], others[i])) continue;
          ++difference.elements;
          const double distance = std::abs(static_cast<double>(values[i]) - others[i]);
          difference.largest =
              std::max(difference.largest,
                       std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance);
        }
        return absl::OkStatus();
      }));
  return difference;
}

}  // namespace

absl::StatusOr<std::string> Reshard(CheckpointReader& from, const std::string& folder, int data,
                                    int tensor) {
  const int64_t step = from.manifest().run.step;
  const std::string path = absl::StrCat(folder, "/", CheckpointName(step));
  const auto refuse_taken = [&]() -> absl::Status {
    struct stat there;
    if (::lstat(path.c_str(), &there) != 0) return absl::OkStatus();
    return absl::AlreadyExistsError(
        path + ": exists; expected a folder without a checkpoint of this step");
  };
  TL_RETURN_IF_ERROR(refuse_taken());
  TL_RETURN_IF_ERROR(MakeWritableFolder(folder));
  TL_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(folder));
  TL_RETURN_IF_ERROR(refuse_taken());  // the run that had the lock may have saved
  if (lock.held()) RemoveLeftovers(folder);
  Manifest manifest = from.manifest();
  manifest.files.clear();
  manifest.data_size = data;
  manifest.tensor_size = tensor;
  const std::string temporary =
      absl::StrCat(folder, "/", TemporaryName(step, absl::StrCat(getpid())));
  std::error_code error;
  std::optional<HoldSignals> hold(std::in_place);
  if (!std::filesystem::create_directory(temporary, error))
    return SystemError(temporary, "make the folder", error ? error.value() : EEXIST);
  const RemoveOnSignal on_signal(temporary);
  hold.reset();
  absl::Status status = CopyModelText(FindText(from.path()), temporary);
  if (status.ok()) status = WriteAllShards(from, temporary, &manifest);
  if (status.ok()) status = CommitCheckpoint(folder, temporary, step);
  if (!status.ok()) {
    std::filesystem::remove_all(temporary, error);
    return status;
  }
  return path;
}

absl::StatusOr<TensorStatistics> ReadStatistics(CheckpointReader& reader, int tensor) {
  TensorStatistics statistics;
  double sum = 0.0, squares = 0.0;
  int64_t finite = 0;
  TL_RETURN_IF_ERROR(ForEachChunk(reader, tensor, [&](const float* values, int64_t, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const double x = values[i];
      if (!std::isfinite(x)) {
        ++statistics.not_finite;
        continue;
      }
      statistics.low = finite == 0 ? x : std::min(statistics.low, x);
      statistics.high = finite == 0 ? x : std::max(statistics.high, x);
      sum += x;
      squares += x * x;
      ++finite;
    }
    return absl::OkStatus();
  }));
  if (finite > 0) {
    const auto n = static_cast<double>(finite);
    statistics.mean = sum / n;
    statistics.deviation =
        std::sqrt(std::max(0.0, squares / n - statistics.mean * statistics.mean));
  }
  return statistics;
}

absl::StatusOr<std::vector<TensorDifference>> Compare(CheckpointReader& a, CheckpointReader& b) {
  ProgressBar bar("compare", TensorBytes(a.manifest()), ProgressUnit::kBytes);
  std::vector<TensorDifference> differences;
  const auto add = [&](const TensorRecord& tensor, const std::string& why) {
    TensorDifference difference;
    difference.tensor = DatasetName(tensor).substr(1);
    difference.why = why;
    differences.push_back(std::move(difference));
  };
  for (size_t i = 0; i < a.manifest().tensors.size(); ++i) {
    const TensorRecord& tensor = a.manifest().tensors[i];
    const int in_b = b.manifest().Find(tensor.name, tensor.role);
    if (in_b < 0) {
      add(tensor, "only in " + a.path());
      continue;
    }
    const Shape& other = b.manifest().tensors[in_b].shape;
    if (!(other == tensor.shape)) {
      add(tensor, absl::StrCat("shapes ", ToString(tensor.shape), " and ", ToString(other)));
      continue;
    }
    TL_ASSIGN_OR_RETURN(TensorDifference difference,
                        CompareTensor(a, static_cast<int>(i), b, in_b, bar));
    if (difference.elements > 0) differences.push_back(std::move(difference));
  }
  for (const TensorRecord& tensor : b.manifest().tensors) {
    if (a.manifest().Find(tensor.name, tensor.role) < 0) add(tensor, "only in " + b.path());
  }
  return differences;
}

}  // namespace tl
