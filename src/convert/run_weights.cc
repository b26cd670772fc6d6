// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/logging.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/health.h"
#include "checkpoint/reader.h"
#include "checkpoint/safetensors.h"
#include "convert/weights.h"

namespace tl {
namespace {

// A checkpoint of a run, whatever grid saved it.
class CheckpointSource : public WeightSource {
 public:
  CheckpointSource(std::unique_ptr<CheckpointReader> reader, bool averaged)
      : reader_(std::move(reader)), averaged_(averaged) {
    for (const TensorRecord& t : reader_->manifest().tensors) {
      if (t.is_weight()) tensors_.push_back({t.name, Dims(t.shape), t.dtype});
    }
  }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  bool averaged() const override { return averaged_; }
  absl::Status Read(const std::string& name, int64_t begin, int64_t count,
                    float* out) const override {
    // Frozen ones have no average.
    int tensor = averaged_ ? reader_->manifest().Find(name, kAverageRole) : -1;
    if (tensor < 0) tensor = reader_->manifest().Find(name, kWeightRole);
    if (tensor < 0) return absl::NotFoundError(absl::StrCat("no tensor \"", name, "\""));
    const Box whole = Box::Whole(reader_->manifest().tensors[tensor].shape);
    return reader_->ReadFloats(tensor, whole, begin, begin + count, out);
  }

 private:
  std::unique_ptr<CheckpointReader> reader_;
  bool averaged_;
  std::vector<SourceTensor> tensors_;
};

// The file that an import wrote.
class FileSource : public WeightSource {
 public:
  explicit FileSource(std::unique_ptr<SafetensorsReader> reader) : reader_(std::move(reader)) {
    for (const TensorInfo& t : reader_->tensors()) tensors_.push_back({t.name, t.shape, t.dtype});
  }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  absl::Status Read(const std::string& name, int64_t begin, int64_t count,
                    float* out) const override {
    TL_ASSIGN_OR_RETURN(const TensorInfo* tensor, reader_->Find(name));
    return reader_->Read(*tensor, begin, count, out);
  }

 private:
  std::unique_ptr<SafetensorsReader> reader_;
  std::vector<SourceTensor> tensors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenRunWeights(const std::string& where,
                                                             WhichWeights which) {
  if (const std::string file = ImportedWeights(where); !file.empty()) {
    if (which == WhichWeights::kAveraged) return NoAverage(file);
    TL_ASSIGN_OR_RETURN(auto reader, SafetensorsReader::Open(file));
    return std::make_unique<FileSource>(std::move(reader));
  }
  TL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FindCheckpoints(where));
  std::vector<std::string> reasons;
  if (const std::string notice = HealthNotice(paths); !notice.empty()) LogWarning(notice);
  for (const std::string& path : HealthyFirst(paths)) {
    auto reader = CheckpointReader::Open(path);
    if (reader.ok()) {
      TL_ASSIGN_OR_RETURN(const bool averaged, ReadsAverage(**reader, which));
      return std::make_unique<CheckpointSource>(std::move(reader).value(), averaged);
    }
    reasons.push_back(std::string(reader.status().message()));
  }
  return absl::DataLossError(absl::StrJoin(reasons, "; "));
}

}  // namespace tl
