// SPDX-License-Identifier: Apache-2.0
#include "nn/params.h"

#include <algorithm>

#include "base/philox.h"
#include "kernels/elementwise.h"

namespace tl {
namespace {

int64_t RoundUp(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

}  // namespace

double CountElements(const Shape& shape) {
  double elements = 1.0;
  for (int i = 0; i < shape.rank(); ++i) elements *= static_cast<double>(shape[i]);
  return elements;
}

double ParamSpec::elements() const {
  double sum = 0.0;
  for (const ParamPart& part : parts) sum += CountElements(part.shape);
  return sum;
}

double ParamTable::parameters() const {
  double sum = 0.0;
  for (const Param& param : params_) sum += param.spec.elements();
  return sum;
}

double ParamTable::shard_elements(bool trained) const {
  double sum = 0.0;
  for (const Param& param : params_) {
    if (trained && !param.spec.trainable) continue;
    for (const ParamPart& part : param.spec.parts)
      sum += CountElements(part.shape) / (part.split_axis < 0 ? 1 : tensor_size_ / part.replicas);
  }
  return sum;
}

ParamId ParamTable::Declare(const ParamSpec& spec, int uses) {
  if (const auto it = ids_.find(spec.name); it != ids_.end()) {
    Param& known = params_[it->second];
    TL_CHECK(known.spec.parts.size() == spec.parts.size() &&
             known.spec.parts[0].shape == spec.parts[0].shape)
        << spec.name << " declared with two shapes";
    known.uses += uses;
    return it->second;
  }
  const ParamId id = size();
  ids_[spec.name] = id;
  params_.push_back({.spec = spec, .shards = {}, .local = {}, .uses = uses});
  return id;
}

void ParamTable::Layout(int64_t bucket_elements, int64_t align) {
  for (Param& param : params_) {
    int64_t offset = 0, rows = 0;
    for (const ParamPart& part : param.spec.parts) {
      PartShard shard{.part = &part, .offset = offset, .local = part.shape};
      if (part.split_axis >= 0) {
        const int shards = tensor_size_ / part.replicas, index = tensor_rank_ / part.replicas;
        const int64_t whole = part.shape[part.split_axis];
        const int64_t local = (whole + shards - 1) / shards;
        shard.local[part.split_axis] = local;
        shard.begin = std::min(index * local, whole);
        shard.valid = std::min(local, whole - shard.begin);
        shard.counted = tensor_rank_ % part.replicas == 0;
      } else {
        shard.valid = part.shape[0];
        shard.counted = tensor_rank_ == 0;
      }
      offset += shard.local.elements();
      rows += shard.local[0];
      param.shards.push_back(shard);
    }
    param.local = param.shards[0].local;
    param.local[0] = rows;
  }
  const int64_t bucket_align = align * data_size_;
  const auto close = [&] {
    elements_ = RoundUp(elements_, bucket_align);
    if (!buckets_.empty()) buckets_.back().end = elements_;
  };
  for (const bool trainable : {true, false}) {
    bool open = false;
    for (ParamId id = size() - 1; id >= 0; --id) {
      Param& param = params_[id];
      if (param.spec.trainable != trainable) continue;
      if (!open || buckets_.back().size() >= bucket_elements) {
        close();
        buckets_.push_back(
            {.begin = elements_, .end = elements_, .params = {}, .trainable = trainable});
        open = true;
      }
      param.bucket = static_cast<int>(buckets_.size()) - 1;
      param.offset = elements_;
      elements_ = RoundUp(elements_ + param.local.elements(), align);
      buckets_.back().end = elements_;
      buckets_.back().params.push_back(id);
    }
    close();
    if (trainable) trainable_elements_ = elements_;
  }
}

int64_t GlobalIndex(const PartShard& shard, int64_t row, int64_t column) {
  const Shape& whole = shard.part->shape;
  const int axis = shard.part->split_axis;
  if (axis == 0 || axis < 0) {
    if (row >= shard.valid) return -1;
    row += shard.begin;
  } else {
    if (column >= shard.valid) return -1;
    column += shard.begin;
  }
  return whole.rank() == 1 ? row : row * whole[1] + column;
}

void InitialValues(const Param& param, uint64_t seed, float* out) {
  for (const PartShard& shard : param.shards) {
    const ParamPart& part = *shard.part;
    const std::string& name = part.copy_of.empty() ? part.name : part.copy_of;
    const uint64_t key = HashName(name.data(), name.size(), seed);
    const int64_t rows = shard.local[0];
    const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
    const auto std = static_cast<float>(param.spec.init_std);
    float* base = out + shard.offset;
#pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t index = GlobalIndex(shard, r, c);
        float value = 0.0f;
        if (index >= 0 && param.spec.init == InitKind::kOnes) value = 1.0f;
        if (index >= 0 && param.spec.init == InitKind::kNormal)
          value = std * PhiloxNormal(key, static_cast<uint64_t>(index));
        base[r * columns + c] = value;
      }
    }
  }
}

void SetValues(Tensor to, const float* values) {
  Stream stream = Stream::On(to.device);
  const Shape flat{to.elements()};
  Tensor from = Tensor::Of(const_cast<float*>(values), flat);
  Buffer staged;
  if (to.device.type != DeviceType::kCpu) {
    staged = Buffer::Allocate(to.device, from.bytes());
    CopyBytes(stream, staged.data(), from.data, from.bytes());
    from = Tensor::Contiguous(staged.data(), flat, DType::kF32, to.device);
  }
  Convert(stream, {.dst = to.Reshape(flat), .src = from});
  stream.Synchronize();
}

}  // namespace tl
