// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/lfs.h"
#include "base/status.h"
#include "checkpoint/safetensors.h"
#include "convert/hf_index.h"
#include "convert/weights.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr char kCopy[] = "lm_head.weight";
constexpr int64_t kMostIndexBytes = 100'000'000;

absl::Status BadShard(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

class ShardedSource : public WeightSource {
 public:
  absl::Status Add(const std::string& path) {
    TL_ASSIGN_OR_RETURN(auto reader, SafetensorsReader::Open(path));
    for (const TensorInfo& t : reader->tensors()) {
      if (!where_.emplace(t.name, Where{reader.get(), &t}).second)
        return BadShard(path, absl::StrCat("tensor \"", t.name, "\" is in another shard too"));
      tensors_.push_back({t.name, t.shape, t.dtype});
    }
    readers_.push_back(std::move(reader));
    return absl::OkStatus();
  }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  absl::Status Read(const std::string& name, int64_t begin, int64_t count,
                    float* out) const override {
    const auto it = where_.find(name);
    if (it == where_.end()) return absl::NotFoundError(absl::StrCat("no tensor \"", name, "\""));
    return it->second.reader->Read(*it->second.tensor, begin, count, out);
  }

 private:
  struct Where {
    const SafetensorsReader* reader;
    const TensorInfo* tensor;
  };
  std::vector<std::unique_ptr<SafetensorsReader>> readers_;
  std::map<std::string, Where> where_;
  std::vector<SourceTensor> tensors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenHuggingFaceWeights(const std::string& folder) {
  auto source = std::make_unique<ShardedSource>();
  std::error_code error;
  const std::string index = absl::StrCat(folder, "/", kIndex);
  const std::string single = absl::StrCat(folder, "/", kSingle);
  // As transformers: a single file goes before an index.
  if (fs::exists(single, error)) {
    TL_RETURN_IF_ERROR(source->Add(single));
    return source;
  }
  if (!fs::exists(index, error)) {
    return absl::NotFoundError(absl::StrCat(folder, ": expected ", kSingle, " or ", kIndex,
                                            " in this folder, found neither (weights in other "
                                            "formats are not read: transformers' save_pretrained "
                                            "writes these)"));
  }
  TL_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(index, kMostIndexBytes));
  TL_RETURN_IF_ERROR(CheckNotLfsPointer(text, index));
  TL_ASSIGN_OR_RETURN(const auto shards, ParseShardIndex(text, index));
  for (const auto& [file, names] : shards) {
    const size_t before = source->tensors().size();
    TL_RETURN_IF_ERROR(source->Add(absl::StrCat(folder, "/", file)));
    std::set<std::string> found;
    for (size_t i = before; i < source->tensors().size(); ++i)
      found.insert(source->tensors()[i].name);
    std::vector<std::string> differ;
    std::set_symmetric_difference(names.begin(), names.end(), found.begin(), found.end(),
                                  std::back_inserter(differ));
    // Some indexes name the copy of a tied embedding, which no file has. Whether the model can do
    // without it is seen when its tensors are looked for.
    if (names.count(kCopy) > 0)
      differ.erase(std::remove(differ.begin(), differ.end(), kCopy), differ.end());
    if (!differ.empty()) {
      return BadShard(index,
                      absl::StrCat("tensor \"", differ[0], "\" is ",
                                   names.count(differ[0]) ? "not in" : "also in", " ", file,
                                   names.count(differ[0]) ? ", where the index has it"
                                                          : ", which the index does not say"));
    }
  }
  return source;
}

}  // namespace tl
