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

bool Contains(const std::vector<std::string>& roles, const std::string& role) {
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

}  // namespace

std::vector<std::string> AllRoles(const BucketRoles& roles) {
  std::vector<std::string> all;
  for (const auto& of_bucket : roles) {
    for (const std::string& role : of_bucket) {
      if (!Contains(all, role)) all.push_back(role);
    }
  }
  return all;
}

ShardedState::ShardedState(const ParamTable& table, const Mesh& mesh, const DecayRule& decay,
                           Weights& weights, const BucketRoles& roles)
    : table_(table),
      weights_(weights),
      data_rank_(mesh.data_rank()),
      bucket_roles_(roles),
      roles_(AllRoles(roles)) {
  const auto buckets = static_cast<int>(table.buckets().size());
  if (roles.empty()) bucket_roles_.resize(buckets);
  TL_CHECK_EQ(std::ssize(bucket_roles_), buckets);
  int last_bucket = -1;  // of the last segment
  for (int b = 0; b < buckets; ++b) {
    const Bucket& bucket = table.buckets()[b];
    shard_begins_.push_back(elements_);
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
        if (last != nullptr && bucket_roles_[last_bucket] == bucket_roles_[b] &&
            last->flat + last->size == next.flat && last->shard + last->size == next.shard &&
            last->weight_decay == next.weight_decay && last->lr_scale == next.lr_scale &&
            last->norm_weight == next.norm_weight && last->head == next.head) {
          last->size += next.size;
        } else {
          segments_.push_back(next);
        }
        last_bucket = b;
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
  for (const std::string& role : roles_) {
    int64_t elements = 0;
    std::vector<int64_t>& starts = starts_.emplace_back(buckets, -1);
    for (int b = 0; b < buckets; ++b) {
      if (!Contains(bucket_roles_[b], role)) continue;
      starts[b] = elements;
      elements += table.buckets()[b].size() / table.data_size();
    }
    states_.push_back(zeros(elements));
  }
}

int64_t ShardedState::Bytes(const ParamTable& table, DType compute, const BucketRoles& roles) {
  int64_t bytes = compute == DType::kF32 ? 0 : table.elements() / table.data_size() * kF32;
  for (const std::string& role : AllRoles(roles)) bytes += Bytes(table, roles, role);
  return bytes;
}

int64_t ShardedState::Bytes(const ParamTable& table, const BucketRoles& roles,
                            const std::string& role) {
  int64_t elements = 0;
  for (size_t b = 0; b < roles.size(); ++b) {
    if (Contains(roles[b], role)) elements += table.buckets()[b].size() / table.data_size();
  }
  return elements * kF32;
}

int ShardedState::Find(const std::string& role) const {
  const auto it = std::find(roles_.begin(), roles_.end(), role);
  return it == roles_.end() ? -1 : static_cast<int>(it - roles_.begin());
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
  const auto after = std::upper_bound(shard_begins_.begin(), shard_begins_.end(), shard);
  const auto bucket = after - shard_begins_.begin() - 1;
  TL_CHECK(starts_[i][bucket] >= 0) << "bucket " << bucket << " has no state " << roles_[i];
  const int64_t at = starts_[i][bucket] + shard - shard_begins_[bucket];
  return Tensor::Contiguous(states_[i].data() + at * kF32, {size}, DType::kF32,
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
  const Param& param = table_[id];
  const int average = Find(kAverageRole);
  const bool averages = average >= 0 && Has(average, param.bucket);
  if (master_.data() == nullptr && !averages) return;
  Stream stream = Stream::On(weights_.flat.device);
  const int64_t n = param.local.elements();
  for (int64_t i = 0, run = 0; i < n; i += run) {
    const int64_t shard = ShardOffset(param.offset + i, &run);
    run = std::min(run, n - i);
    if (shard < 0) continue;
    const auto* from = reinterpret_cast<const std::byte*>(values + i);
    if (master_.data() != nullptr)
      CopyBytes(stream, master_.data() + shard * kF32, from, run * kF32);
    if (averages) CopyBytes(stream, State(average, shard, run).data, from, run * kF32);
  }
}

void ShardedState::SwapAverage(Stream& stream) {
  const int average = Find(kAverageRole);
  TL_CHECK(average >= 0) << "no average of weights is kept";
  // A gathering may still read this rank's part.
  for (Event& ready : weights_.ready) {
    stream.Wait(ready);
    ready = Event();
  }
  const bool low_precision = weights_.flat.dtype != DType::kF32;
  for (const Segment& s : segments_) {
    const Tensor master = Master(s.flat, s.shard, s.size);
    Exchange(stream, {.a = master, .b = State(average, s.shard, s.size)});
    if (low_precision)
      Convert(stream, {.dst = weights_.flat.Slice(0, s.flat, s.flat + s.size), .src = master});
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
