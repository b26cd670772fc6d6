// SPDX-License-Identifier: Apache-2.0
// Parameters: what they are (ParamSpec, declared once), where a rank's part of them lies (buckets),
// and the memory that holds them.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "comm/mesh.h"
#include "device/tensor.h"

namespace tl {

// Elements, also of a shape that has more than one can index.
double CountElements(const Shape& shape);

// A tensor with a name of its own in checkpoints and exports. Shapes are whole and never padded;
// padding belongs to a shard.
struct ParamPart {
  std::string name;
  Shape shape;          // rank 1 or 2
  int split_axis = -1;  // the axis divided over the tensor group in equal shards; -1: none
  int replicas = 1;     // runs of this many consecutive tensor ranks hold the same shard
  // The tensor whose initial values it takes, and those to start from where they lack its own
  // name; "": none.
  std::string copy_of = {};
};

enum class InitKind : uint8_t { kZeros, kOnes, kNormal };

// How the gradients of a parameter's copies in the tensor group are made one.
enum class TensorReduce : uint8_t {
  kNone,     // each rank already has the whole gradient of its shard
  kGroup,    // each rank has a part: sum over the tensor group
  kReplicas  // sum over the ranks that hold the same shard
};

enum class ParamKind : uint8_t { kMatrix, kEmbedding, kNorm, kBias };  // decides weight decay

// Parts are stacked along axis 0 so that one product serves all of them (q|k|v, gate|up).
struct ParamSpec {
  std::string name;
  std::vector<ParamPart> parts;
  InitKind init = InitKind::kNormal;
  double init_std = 0.02;
  ParamKind kind = ParamKind::kMatrix;
  TensorReduce reduce = TensorReduce::kNone;
  bool trainable = true;  // false: no gradient, no optimizer state, no communication
  double lr_scale = 1.0;
  bool optional = false;  // weights to start from may lack it
  // The objective's head without which no other uses it: steps without that head leave it as it
  // is. -1: shared.
  int head = -1;

  double elements() const;  // of all parts, whole
};

// A shard of a part on one rank: logical range [begin, begin + valid) of the split axis, padded to
// local rows (or columns).
struct PartShard {
  const ParamPart* part = nullptr;
  int64_t offset = 0;  // elements from the start of the parameter's local storage
  Shape local;         // padded
  int64_t begin = 0;
  int64_t valid = 0;
  bool counted = true;  // this rank counts the shard in norms over the tensor group
};

using ParamId = int;

struct Param {
  ParamSpec spec;
  std::vector<PartShard> shards;
  Shape local;   // parts stacked
  int uses = 0;  // additions to the gradient in one pass
  int bucket = -1;
  int64_t offset = 0;  // elements from the start of the flat buffers
};

// A contiguous range of the flat buffers; divides evenly over the data group.
struct Bucket {
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<ParamId> params;
  bool trainable = true;  // all of them, or none
  int64_t size() const { return end - begin; }
};

// The declared parameters of a model on this rank, and their layout in flat buffers: in reverse
// order of declaration, so that buckets complete from front to back during the backward pass.
// Frozen parameters come last, in buckets of their own.
class ParamTable {
 public:
  ParamTable(int data_size, int tensor_size, int tensor_rank)
      : data_size_(data_size), tensor_size_(tensor_size), tensor_rank_(tensor_rank) {}

  // A known name with the same shape: the same id and more uses; whether it is trained and how is
  // the first declaration's.
  ParamId Declare(const ParamSpec& spec, int uses = 1);
  // Ends declarations. Buckets close once they hold bucket_elements; parameters start at multiples
  // of `align` elements, buckets at multiples of align x data ranks.
  void Layout(int64_t bucket_elements, int64_t align = 16);

  const Param& operator[](ParamId id) const { return params_[id]; }
  int size() const { return static_cast<int>(params_.size()); }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  // Of the whole model, whatever the grid, each counted once.
  double parameters() const;
  // Elements of this rank's shards without padding: all, or those of what is trained alone.
  double shard_elements(bool trained) const;
  // After Layout().
  int64_t elements() const { return elements_; }  // of the flat buffers, padding included
  // Of the trainable ones, which come first.
  int64_t trainable_elements() const { return trainable_elements_; }
  int data_size() const { return data_size_; }
  int tensor_size() const { return tensor_size_; }
  int tensor_rank() const { return tensor_rank_; }

 private:
  int data_size_, tensor_size_, tensor_rank_;
  std::vector<Param> params_;
  std::unordered_map<std::string, ParamId> ids_;
  std::vector<Bucket> buckets_;
  int64_t elements_ = 0, trainable_elements_ = 0;
};

// The logical element of the whole part at row r, column c of a shard, as a flat index; -1:
// padding.
int64_t GlobalIndex(const PartShard& shard, int64_t row, int64_t column);

// Writes initial values of a whole local parameter as fp32: a function of (seed, part name, global
// index) alone, whatever the grid.
void InitialValues(const Param& param, uint64_t seed, float* out);

// to = values, rounded to its type: from the host to the device of `to`.
void SetValues(Tensor to, const float* values);

}  // namespace tl
