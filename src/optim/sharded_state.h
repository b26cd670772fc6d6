// SPDX-License-Identifier: Apache-2.0
// This rank's part of every bucket (ZeRO-1): masters and an optimizer's states exist for that part
// alone.
#pragma once

#include <string>
#include <vector>

#include "comm/mesh.h"
#include "device/tensor.h"
#include "nn/params.h"
#include "nn/step.h"

namespace tl {

// The role of an average of weights. It starts as the weights, and SwapAverage knows it.
inline constexpr char kAverageRole[] = "ema";

// By bucket: the roles of the fp32 values that each of its elements has beside its master weight.
using BucketRoles = std::vector<std::vector<std::string>>;
// Lists them, each once, in the order in which they are met.
std::vector<std::string> AllRoles(const BucketRoles& roles);

// Whether a parameter decays, by kind: matrices always, biases never.
struct DecayRule {
  double weight_decay = 0.0;
  bool embeddings = false;
  bool norms = false;
};

// A run of this rank's elements that are treated alike.
struct Segment {
  int64_t flat = 0;   // first element in the flat weight and gradient buffers
  int64_t shard = 0;  // first element in the sharded state
  int64_t size = 0;
  float weight_decay = 0.0f;
  float lr_scale = 1.0f;
  float norm_weight = 1.0f;  // 0: another tensor rank counts these elements in norms
  int head = -1;             // see ParamSpec
};

// The part of the flat buffers that this rank updates, and the FP32 master weights of it. Where the
// compute precision is fp32 the masters are the weights themselves. Frozen parameters have masters
// too, so that saves keep them to the bit, but no segments.
class ShardedState {
 public:
  // Allocates; weights, masters and states start as zeros. roles: empty where no bucket has any.
  ShardedState(const ParamTable& table, const Mesh& mesh, const DecayRule& decay, Weights& weights,
               const BucketRoles& roles);

  const std::vector<Segment>& segments() const { return segments_; }
  int64_t elements() const { return elements_; }
  // fp32 [size]: master weights of a run within a segment or bucket, or its state number i, which
  // its bucket must have.
  Tensor Master(int64_t flat, int64_t shard, int64_t size) const;
  Tensor State(int i, int64_t shard, int64_t size) const;
  const BucketRoles& bucket_roles() const { return bucket_roles_; }
  // The states by number.
  const std::vector<std::string>& roles() const { return roles_; }
  // The number of a role; -1: no bucket has it.
  int Find(const std::string& role) const;
  // Tells whether a bucket has state number i.
  bool Has(int i, int bucket) const { return starts_[i][bucket] >= 0; }
  Device device() const { return weights_.flat.device; }
  int states() const { return static_cast<int>(roles_.size()); }
  int64_t master_bytes() const { return static_cast<int64_t>(master_.size()); }
  int64_t state_bytes() const;
  // For element `flat` of the flat buffers: its place in the shard, or -1 if another rank has it;
  // *run: how many elements from there on are contiguous in both.
  int64_t ShardOffset(int64_t flat, int64_t* run) const;

  // Whole local parameters as fp32; every rank sets its own weights, and the masters of its part.
  // An average starts as they are.
  void SetWeights(ParamId id, const float* values);
  // Initial weights, see InitialValues.
  void Initialize(uint64_t seed);
  // Exchanges this rank's masters with their average, bit by bit, and rounds its weights anew; a
  // second call brings everything back. GatherWeights brings them to the other ranks.
  void SwapAverage(Stream& stream);
  // Bytes of the masters and states of a construction with these sizes, or of one role's states.
  static int64_t Bytes(const ParamTable& table, DType compute, const BucketRoles& roles);
  static int64_t Bytes(const ParamTable& table, const BucketRoles& roles, const std::string& role);

 private:
  const ParamTable& table_;
  Weights& weights_;
  int data_rank_;
  BucketRoles bucket_roles_;
  std::vector<std::string> roles_;
  std::vector<Segment> segments_;
  std::vector<int64_t> shard_begins_;  // by bucket: its first element in the sharded state
  int64_t elements_ = 0;
  Buffer master_;
  std::vector<Buffer> states_;
  std::vector<std::vector<int64_t>>
      starts_;  // by state and bucket: likewise in the state's buffer;
                // -1: the bucket has no such state
};

// The sum of squares and the non-finite count of this rank's part, over the world, into
// sums: fp32 [2].
void GradientSums(Stream& stream, Mesh& mesh, const ShardedState& state, Tensor grads, Tensor sums);

// The same of the master weights that this rank updates.
void WeightSums(Stream& stream, Mesh& mesh, const ShardedState& state, Tensor sums);

// Starts gathering updated weights, bucket by bucket, in the order the next forward pass wants
// them; sets Weights::ready. NCCL runs a group's operations in the order of their calls: what else
// the stream needs of the data group before the next pass is called first.
void GatherWeights(Stream& stream, Stream& comm_stream, Mesh& mesh, Weights& weights);

}  // namespace tl
