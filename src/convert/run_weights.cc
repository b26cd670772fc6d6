#include <filesystem>

#include "base/status.h"
#include "checkpoint/run_state.h"
#include "checkpoint/safetensors.h"
#include "convert/weights.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

class SaveSource : public WeightSource {
 public:
  explicit SaveSource(std::unique_ptr<SafetensorsReader> reader) : reader_(std::move(reader)) {
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

absl::StatusOr<std::unique_ptr<WeightSource>> OpenRunWeights(const std::string& where) {
  std::string path = where + "/weights.safetensors";
  std::error_code error;
  if (!fs::exists(path, error)) {
    TL_ASSIGN_OR_RETURN(const std::string save, NewestSave(where));
    path = save + "/weights.safetensors";
  }
  TL_ASSIGN_OR_RETURN(auto reader, SafetensorsReader::Open(path));
  return std::make_unique<SaveSource>(std::move(reader));
}

}  // namespace tl
