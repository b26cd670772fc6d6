// SPDX-License-Identifier: Apache-2.0
// Weights by name, whoever wrote them: what exporters and importers read, and the one place where
// tensors are carried over.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/load.h"
#include "device/dtype.h"

namespace tl {

struct SourceTensor {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype = DType::kF32;  // as stored
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const std::vector<SourceTensor>& tensors() const = 0;
  // Whether they are an average of a training's weights.
  virtual bool averaged() const { return false; }
  // Elements [begin, begin + count) of the whole tensor as fp32.
  virtual absl::Status Read(const std::string& name, int64_t begin, int64_t count,
                            float* out) const = 0;

  // nullptr where there is none.
  const SourceTensor* Find(const std::string& name) const;
};

// The weights of a checkpoint, of a folder of them (the newest that opens) or of an imported one,
// which has no average of them.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenRunWeights(
    const std::string& where, WhichWeights which = WhichWeights::kAveragedIfThere);
// A Hugging Face folder: model.safetensors, or else the shards of model.safetensors.index.json.
// Every shard is opened and checked, names that the index and the shards disagree on are errors.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenHuggingFaceWeights(const std::string& folder);

// How the rows of a matrix are laid out in the target.
enum class RowOrder : uint8_t {
  kSame,
  // Rotary halves of each head become neighbours: row j of the first half, then row j of the
  // second. llama.cpp keeps q and k of its llama architecture so.
  kInterleaved,
};

// Where one tensor of the source goes.
struct TensorPlacement {
  std::string source = {};  // empty: zeros, which the target has and the source has not
  std::string target = {};  // empty: left out, and note says why
  std::vector<int64_t> shape = {};
  DType dtype = DType::kF32;
  RowOrder rows = RowOrder::kSame;
  int64_t head_dim = 0;   // of kInterleaved
  std::string note = {};  // for the report
  std::string file = {};  // for the report: filled in by what writes

  bool left_out() const { return target.empty(); }
  int64_t elements() const;
  int64_t bytes() const { return elements() * static_cast<int64_t>(SizeOf(dtype)); }
};

// Sums the bytes of those that are not left out.
int64_t BytesOf(const std::vector<TensorPlacement>& placements);

// Reads a tensor piece by piece, lays it out and rounds it as the placement says, and gives the
// bytes to append in order. An error where a number does not fit the type.
absl::Status CopyTensor(const WeightSource& source, const TensorPlacement& placement,
                        const std::function<absl::Status(const void*, int64_t)>& append);

// "[256, 128]"
std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace tl
