// SPDX-License-Identifier: Apache-2.0
#include "optim/sharded_state.h"

#include <algorithm>

#include "kernels/elementwise.h"

namespace tl {
namespace {

constexpr int64_t kF32 = sizeof(float);

bool Decays(ParamKind kind, const DecayRule& rule) {
  switch (kind) {
    case ParamKind::kMatrix:
      return true;
    case ParamKind::kEmbedding:
      return rule.embeddings;
    case ParamKind::kNorm:
      return rule.norms;
    case ParamKind::kBias:
      return false;
  }
  return true;
}

}  // namespace

ShardedState::ShardedState(const ParamTable& table, const Mesh& mesh, const DecayRule& decay,
                           Weights& weights, int states)
    : table_(table), weights_(weights), data_rank_(mesh.data_rank()) {
  for (const Bucket& bucket : table.buckets()) {
    const int64_t part = bucket.size() / table.data_size();
    const int64_t begin = bucket.begin + part * data_rank_, end = begin + part;
    for (const ParamId id : bucket.params) {
      const Param& param = table[id];
      if (!bucket.trainable) continue;
      for (const PartShard& shard : param.shards) {
        const int64_t from = std::max(begin, param.offset + shard.offset);
        const int64_t to = std::min(end, param.offset + shard.offset + shard.local.elements());
        if (from >= to) continue;
        const Segment next{.flat = from,
                           .shard = elements_ + from - begin,
                           .size = to - from,
                           .weight_decay = Decays(param.spec.kind, decay)
                                               ? static_cast<float>(decay.weight_decay)
                                               : 0.0f,
                           .lr_scale = static_cast<float>(param.spec.lr_scale),
                           .norm_weight = shard.counted ? 1.0f : 0.0f,
                           .head = param.spec.head};
        Segment* last = segments_.empty() ? nullptr : &segments_.back();
        if (last != nullptr && last->flat + last->size == next.flat &&
            last->shard + last->size == next.shard && last->weight_decay == next.weight_decay &&
            last->lr_scale == next.lr_scale && last->norm_weight == next.norm_weight &&
            last->head == next.head) {
          last->size += next.size;
        } else {
          segments_.push_back(next);
        }
      }
    }
    elements_ += part;
  }
  const Device device = weights.flat.device;
  Stream stream = Stream::On(device);
  const auto zeros = [&](int64_t elements) {
    Buffer buffer = Buffer::Allocate(device, elements * kF32);
    ZeroBytes(stream, buffer.data(), buffer.size());
    return buffer;
  };
  ZeroBytes(stream, weights.flat.data, weights.flat.bytes());
  if (weights.flat.dtype != DType::kF32) master_ = zeros(elements_);
  for (int i = 0; i < states; ++i)
    states_.push_back(zeros(table.trainable_elements() / table.data_size()));
}

int64_t ShardedState::Bytes(const ParamTable& table, DType compute, int states) {
  const int64_t masters = compute == DType::kF32 ? 0 : table.elements();
  return (masters + states * table.trainable_elements()) / table.data_size() * kF32;
}

int64_t ShardedState::state_bytes() const {
  int64_t bytes = 0;
  for (const Buffer& state : states_) bytes += static_cast<int64_t>(state.size());
  return bytes;
}

Tensor ShardedState::Master(int64_t flat, int64_t shard, int64_t size) const {
  std::byte* base =
      master_.data() != nullptr ? master_.data() + shard * kF32 : weights_.flat.data + flat * kF32;
  return Tensor::Contiguous(base, {size}, DType::kF32, weights_.flat.device);
}

Tensor ShardedState::State(int i, int64_t shard, int64_t size) const {
  return Tensor::Contiguous(states_[i].data() + shard * kF32, {size}, DType::kF32,
                            weights_.flat.device);
}

int64_t ShardedState::ShardOffset(int64_t flat, int64_t* run) const {
  int64_t shard = 0;
  for (const Bucket& bucket : table_.buckets()) {
    const int64_t part = bucket.size() / table_.data_size();
    if (flat < bucket.end) {
      const int64_t begin = bucket.begin + part * data_rank_, end = begin + part;
      if (flat < begin)
        *run = begin - flat;
      else if (flat < end)
        *run = end - flat;
      else
        *run = bucket.end - flat;
      return flat >= begin && flat < end ? shard + flat - begin : -1;
    }
    shard += part;
  }
  TL_CHECK(false) << "element " << flat << " is beyond the buffers";
  return -1;
}

void ShardedState::SetWeights(ParamId id, const float* values) {
  SetValues(weights_.View(id), values);
  if (master_.data() == nullptr) return;
  Stream stream = Stream::On(weights_.flat.device);
  const Param& param = table_[id];
  const int64_t n = param.local.elements();
  for (int64_t i = 0, run = 0; i < n; i += run) {
    const int64_t shard = ShardOffset(param.offset + i, &run);
    run = std::min(run, n - i);
    if (shard >= 0)
      CopyBytes(stream, master_.data() + shard * kF32,
                reinterpret_cast<const std::byte*>(values + i), run * kF32);
  }
}

void ShardedState::Initialize(uint64_t seed) {
  std::vector<float> values;
  for (ParamId id = 0; id < table_.size(); ++id) {
    values.resize(table_[id].local.elements());
    InitialValues(table_[id], seed, values.data());
    SetWeights(id, values.data());
  }
}

namespace {

// of(segment): what is summed of it.
template <typename Of>
void SegmentSums(Stream& stream, Mesh& mesh, const ShardedState& state, const Of& of, Tensor sums) {
  ZeroBytes(stream, sums.data, sums.bytes());
  for (const Segment& segment : state.segments())
    SumSquares(stream, {.out = sums, .x = of(segment), .weight = segment.norm_weight});
  mesh.world().AllReduce(stream, sums);
}

}  // namespace

void GradientSums(Stream& stream, Mesh& mesh, const ShardedState& state, Tensor grads,
                  Tensor sums) {
  const auto of = [&](const Segment& s) { return grads.Slice(0, s.flat, s.flat + s.size); };
  SegmentSums(stream, mesh, state, of, sums);
}

void WeightSums(Stream& stream, Mesh& mesh, const ShardedState& state, Tensor sums) {
  const auto of = [&](const Segment& s) { return state.Master(s.flat, s.shard, s.size); };
  SegmentSums(stream, mesh, state, of, sums);
}

void GatherWeights(Stream& stream, Stream& comm_stream, Mesh& mesh, Weights& weights) {
  if (mesh.data_size() == 1) return;
  const auto& buckets = weights.table->buckets();
  comm_stream.Wait(Event::Record(stream));
  for (size_t b = buckets.size(); b-- > 0;) {
    if (!buckets[b].trainable) continue;
    const int64_t part = buckets[b].size() / mesh.data_size();
    const int64_t begin = buckets[b].begin + part * mesh.data_rank();
    mesh.group(Axis::kData)
        .AllGather(comm_stream, weights.flat.Slice(0, buckets[b].begin, buckets[b].end),
                   weights.flat.Slice(0, begin, begin + part));
    weights.ready[b] = Event::Record(comm_stream);
  }
}

}  // namespace tl
