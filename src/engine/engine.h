// A model on one rank: stem, trunk and objective over planned memory, and the passes through it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "comm/mesh.h"
#include "data/source.h"
#include "engine/decode_batch.h"
#include "engine/logits.h"
#include "model/trunk.h"
#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/kv_cache.h"
#include "nn/step.h"
#include "objective/objective.h"

namespace tl {

struct EngineOptions {
  ModelConfig model;
  ObjectiveConfig objective;
  DType compute = DType::kF32;
  int64_t batch = 1;  // sequences of one pass
  int64_t sequence_length = 0;
  int64_t positions = 0;  // of the rotary table; 0: sequence_length
  bool sequence_parallel = false;
  BlockOptions blocks = {};
  double z_loss = 0.0;
  int64_t loss_chunk = 0;
  int64_t bucket_elements = 4 << 20;
  bool segments = false;  // documents packed into a sequence are kept apart
  int64_t passes = 1;     // whose inputs may wait on the host at once: the micro-batches of a step
  Device device = {};
  Plan::Purpose purpose = Plan::Purpose::kTraining;
};

class Engine {
 public:
  // Declares everything and allocates nothing. Refuses sizes that CheckSize does. Collective. The
  // mesh outlives the engine.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options, Mesh& mesh);
  // Names and whole shapes of a model's tensors, however large it is.
  static absl::StatusOr<std::vector<ParamPart>> Tensors(const ModelConfig& model,
                                                        const ObjectiveConfig& objective);
  // Waits for what is in flight: all ranks must end their engines at the same point.
  ~Engine() { comm_stream_.Synchronize(); }

  const ParamTable& params() const { return params_; }
  const EngineOptions& options() const { return options_; }
  Geometry geometry() const { return geometry_; }
  const Objective& objective() const { return *objective_; }
  int lookahead() const { return objective_->lookahead(); }
  int64_t rows() const { return geometry_.rows(); }

  // Bytes on this rank, known before Allocate().
  int64_t weight_bytes() const;
  int64_t gradient_bytes() const;
  int64_t activation_bytes() const { return plan_.arena_bytes(); }
  int64_t saved_activation_bytes() const { return plan_.saved_bytes(); }
  int64_t input_bytes() const;  // tokens, positions, targets, rotary table, sums of the heads
  // Of the ops, beside the arena; an upper bound. The CPU's is not planned.
  int64_t scratch_bytes() const;

  void Allocate();
  Mesh& mesh() { return mesh_; }
  Stream& stream() { return stream_; }
  Stream& comm_stream() { return comm_stream_; }
  Weights& weights() { return weights_; }
  Tensor grads() const { return grads_; }  // flat fp32, of what is trained; null for inference
  GradSync& grad_sync() { return *grad_sync_; }

  // Of a batch to train on, before its targets are counted: masks those that a head that distills
  // has no teacher for.
  void MaskTargets(HostBatch* batch) const;
  // Forward and backward pass over one micro-batch: adds to the gradients and to the head sums.
  // head_weights: of this step; empty: all heads are trained.
  void ForwardBackward(const HostBatch& batch, const StepScalars* scalars,
                       absl::Span<const double> head_weights = {});
  // Adds to the head sums alone.
  void Evaluate(const HostBatch& batch);
  // HeadSums of every head over this data rank's tokens since they were cleared, the same on all
  // ranks of the tensor group: fp64 [heads, kHeadSums] on the device.
  Tensor head_sums() const { return head_sums_; }
  void ClearHeadSums() { ZeroBytes(stream_, head_sums_.data, head_sums_.bytes()); }

  // Decoding: for engines made for inference, one sequence of as many rows as a pass has at most.
  KvCache MakeCache(int64_t sequences, int64_t capacity) const;
  int64_t CacheBytes(int64_t sequences, int64_t capacity) const;
  // Beside weights, activations and cache, for passes over caches of this capacity that ask for the
  // logits of so many rows: inputs and logits; scratch of kernels.
  int64_t DecodeBytes(int64_t logit_rows) const;
  int64_t DecodeScratchBytes(int64_t capacity, int64_t logit_rows) const;
  // Allocates them. A pass that asks for more rows makes room for them then.
  void AllocateDecoding(int64_t capacity, int64_t logit_rows);
  // Runs rows on top of what the cache holds. logits: the main head's, gathered over the tensor
  // group, of the rows and tokens asked for; the same bits on all ranks; may be null where no rows
  // are. A row's bits do not depend on the other rows.
  void Decode(const DecodeBatch& batch, const KvCache& cache, const DecodePart& part,
              RowLogits* logits);
  // Runs draft head `head` of the objective on rows that Decode has run, see DraftLogits: logits of
  // the rows [begin, end) and their `likeliest` tokens, as Decode gives them.
  void Draft(int head, const DecodeBatch& batch, const KvCache& cache, int64_t begin, int64_t end,
             int64_t likeliest, RowLogits* logits);
  // In every layer, row from[i] of sequences[i] goes to to[i]; one after the other. At most as many
  // as a pass has rows.
  void MoveRows(const KvCache& cache, absl::Span<const int32_t> sequences,
                absl::Span<const int32_t> from, absl::Span<const int32_t> to);

 private:
  Engine(const EngineOptions& options, Mesh& mesh);
  // Create() without the check.
  static absl::StatusOr<std::unique_ptr<Engine>> Declare(const EngineOptions& options, Mesh& mesh);
  Pass LoadPass(const HostBatch& batch);
  int64_t input_count() const;
  // The columns one behind the other on the device, in one copy; valid until the next.
  Tensor Upload(absl::Span<const absl::Span<const int32_t>> columns);
  // A pass over the rows; cached outlives it.
  Pass LoadDecodePass(const DecodeBatch& batch, const KvCache& cache, CachedRows* cached);
  // make: this rank's part of the logits, fp32 [count, local vocabulary].
  void GatherLogits(Step& step, int64_t count, int64_t likeliest,
                    const std::function<void(Tensor)>& make, RowLogits* logits);
  // The words on the host once the stream has made them; valid until the next call.
  const int32_t* ToHost(Tensor words);
  int64_t LogitsBytes(int64_t logit_rows) const;

  EngineOptions options_;
  Mesh& mesh_;
  Geometry geometry_;
  ParamTable params_;
  Plan plan_;
  Trunk trunk_;
  TokenEmbedding stem_;
  HiddenDropout stem_dropout_;
  std::unique_ptr<Objective> objective_;
  Stream stream_, comm_stream_;

  Buffer weight_memory_, grad_memory_, arena_, inputs_, sums_memory_;
  Buffer decode_inputs_, logits_memory_;
  // Pinned, for a device.
  Buffer host_decode_inputs_, host_logits_;
  std::vector<Event> decode_inputs_read_;  // by slot of host_decode_inputs_
  size_t next_decode_slot_ = 0;
  // Of all ranks, where there are several.
  std::vector<float> merged_logits_;
  std::vector<int32_t> merged_ids_;
  // Pinned, for a device: so that copies to it let the host go on. A slot for each pass.
  Buffer host_inputs_;
  std::vector<Event> host_inputs_read_;  // of each slot
  size_t next_slot_ = 0;
  Weights weights_;
  Tensor grads_, head_sums_;
  std::vector<int32_t> inner_targets_;
  std::unique_ptr<GradSync> grad_sync_;
};

}  // namespace tl
