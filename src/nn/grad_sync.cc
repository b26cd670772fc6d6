// SPDX-License-Identifier: Apache-2.0
#include "nn/grad_sync.h"

#include <algorithm>
#include <set>

namespace tl {

GradSync::GradSync(const ParamTable& table, Mesh& mesh, Stream& comm_stream, Tensor grads)
    : table_(table),
      mesh_(mesh),
      comm_stream_(comm_stream),
      grads_(grads),
      left_(table.size()),
      touched_(table.size()),
      open_(table.buckets().size()),
      reduced_(table.buckets().size()) {
  packed_ = Buffer::Allocate(grads.device, WorkspaceBytes(table));
}

int64_t GradSync::WorkspaceBytes(const ParamTable& table) {
  if (table.tensor_size() == 1) return 0;
  int64_t most = 0;
  for (const Bucket& bucket : table.buckets()) {
    if (!bucket.trainable) continue;
    int64_t elements = 0;
    for (const ParamId id : bucket.params) {
      if (table[id].spec.reduce != TensorReduce::kNone) elements += table[id].local.elements();
    }
    most = std::max(most, elements);
  }
  return most * static_cast<int64_t>(sizeof(float));
}

void GradSync::BeginStep(int micro_batches) {
  std::fill(touched_.begin(), touched_.end(), false);
  for (size_t b = 0; b < reduced_.size(); ++b) reduced_[b] = !table_.buckets()[b].trainable;
  for (ParamId id = 0; id < table_.size(); ++id) left_[id] = table_[id].uses * micro_batches;
  for (size_t b = 0; b < open_.size(); ++b)
    open_[b] = static_cast<int>(table_.buckets()[b].params.size());
}

Tensor GradSync::Grad(ParamId id, bool* accumulate) {
  *accumulate = touched_[id];
  touched_[id] = true;
  const Param& param = table_[id];
  TL_CHECK(param.spec.trainable) << param.spec.name << " is frozen";
  return Tensor::Contiguous(grads_.data + param.offset * sizeof(float), param.local, DType::kF32,
                            grads_.device);
}

void GradSync::Done(ParamId id, Stream& stream) {
  TL_CHECK(left_[id] > 0) << table_[id].spec.name << " was added to more often than declared";
  if (--left_[id] == 0 && --open_[table_[id].bucket] == 0) Reduce(table_[id].bucket, stream);
}

void GradSync::Skip(ParamId id, Stream& stream) {
  bool accumulate;
  const Tensor grad = Grad(id, &accumulate);
  if (!accumulate) ZeroBytes(stream, grad.data, grad.bytes());
  Done(id, stream);
}

void GradSync::Finish(Stream& stream) {
  for (size_t b = 0; b < open_.size(); ++b) {
    TL_CHECK(reduced_[b]) << "a gradient of bucket " << b
                          << " is missing: " << table_[table_.buckets()[b].params[0]].spec.name
                          << " ...";
  }
  stream.Wait(Event::Record(comm_stream_));
}

void GradSync::Part(int bucket, int64_t* begin, int64_t* end) const {
  const Bucket& b = table_.buckets()[bucket];
  const int64_t part = b.size() / mesh_.data_size();
  *begin = b.begin + part * mesh_.data_rank();
  *end = *begin + part;
}

void GradSync::ReduceOverTensorGroup(const Bucket& bucket, TensorReduce kind, int replicas,
                                     Stream& stream) {
  const auto each = [&](auto&& copy) {
    int64_t at = 0;
    for (const ParamId id : bucket.params) {
      const Param& param = table_[id];
      if (param.spec.reduce != kind) continue;
      // Of a fused parameter only the replicated parts are summed.
      for (const PartShard& shard : param.shards) {
        if (kind == TensorReduce::kReplicas && shard.part->replicas != replicas) continue;
        const int64_t bytes = shard.local.elements() * static_cast<int64_t>(sizeof(float));
        copy(packed_.data() + at,
             grads_.data + (param.offset + shard.offset) * static_cast<int64_t>(sizeof(float)),
             bytes);
        at += bytes;
      }
    }
    return at;
  };
  const int64_t bytes = each(
      [&](std::byte* packed, std::byte* grad, int64_t n) { CopyBytes(stream, packed, grad, n); });
  if (bytes == 0) return;
  Communicator& group =
      kind == TensorReduce::kGroup ? mesh_.group(Axis::kTensor) : mesh_.tensor_replicas(replicas);
  const Tensor packed = Tensor::Contiguous(
      packed_.data(), {bytes / static_cast<int64_t>(sizeof(float))}, DType::kF32, grads_.device);
  group.AllReduce(stream, packed);
  each([&](std::byte* from, std::byte* grad, int64_t n) { CopyBytes(stream, grad, from, n); });
}

void GradSync::Reduce(int index, Stream& stream) {
  const Bucket& bucket = table_.buckets()[index];
  reduced_[index] = true;
  if (mesh_.tensor_size() > 1) {
    ReduceOverTensorGroup(bucket, TensorReduce::kGroup, 0, stream);
    std::set<int> replica_counts;
    for (const ParamId id : bucket.params) {
      for (const PartShard& shard : table_[id].shards) {
        if (table_[id].spec.reduce == TensorReduce::kReplicas && shard.part->replicas > 1)
          replica_counts.insert(shard.part->replicas);
      }
    }
    for (const int replicas : replica_counts)
      ReduceOverTensorGroup(bucket, TensorReduce::kReplicas, replicas, stream);
  }
  if (mesh_.data_size() == 1) return;
  comm_stream_.Wait(Event::Record(stream));
  int64_t begin, end;
  Part(index, &begin, &end);
  const auto view = [&](int64_t from, int64_t to) {
    return Tensor::Contiguous(grads_.data + from * sizeof(float), {to - from}, DType::kF32,
                              grads_.device);
  };
  mesh_.group(Axis::kData)
      .ReduceScatter(comm_stream_, view(begin, end), view(bucket.begin, bucket.end));
}

}  // namespace tl
