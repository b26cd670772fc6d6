// SPDX-License-Identifier: Apache-2.0
// What a layer sees while it runs: the stream, the grid, this pass, and the memory behind the ids
// it declared.
#pragma once

#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "comm/mesh.h"
#include "device/device.h"
#include "device/tensor.h"
#include "kernels/step_scalars.h"
#include "nn/grad_sync.h"
#include "nn/params.h"
#include "nn/plan.h"

namespace tl {

struct CachedRows;  // nn/kv_cache.h

// What goes into a pass: one micro-batch, of tokens or of values (see HostBatch); what the other
// kind has is null. All on the device.
struct Inputs {
  int64_t batch = 0;            // sequences
  int64_t sequence_length = 0;  // rows of each
  Tensor tokens = {};           // int32 [B * T]
  Tensor positions = {};        // int32 [B * T], for the rotary embedding
  Tensor segments = {};         // int32 [B, T]; null: one document per sequence
  Tensor targets = {};          // int32 [lookahead, B * T], see Targets
  // int32 [B * T]: Targets(1), masked at position 0 too; with lookahead > 1
  Tensor inner_targets = {};
  Tensor values = {};         // compute type [B * T, P]: what the model sees
  Tensor value_targets = {};  // fp32 [B * T, P]
  Tensor features = {};       // compute type [B, kFeatures]
  Tensor labels = {};         // int32 [B]: the class; as many as there are classes: none
  Tensor weights = {};        // fp32 [B], of the samples' losses
  Tensor ranges = {};         // int32 [B]: which sum a sample's loss adds to, negative: none

  // int32 [B * T]: the token `offset` >= 1 after each input, negative: masked.
  Tensor Targets(int offset) const {
    return targets.Slice(0, offset - 1, offset).Reshape({targets.shape[1]});
  }
};

// What a pass is for, with what it needs for that alone. Evaluation computes losses, training their
// gradients too, differentiation what the objective predicts and the gradient at the inputs.
struct Evaluation {};
struct Differentiation {};
struct Training {
  int64_t first_sample = 0;  // the number of the first sequence in the run's order of samples
  const StepScalars* scalars = nullptr;        // on the device
  absl::Span<const double> head_weights = {};  // on the host; empty: all are trained

  bool Trains(int head) const { return head_weights.empty() || head_weights[head] > 0.0; }
};
// One sequence of as many rows as are to be run, at most as many as were planned, each with its own
// past in the cache. The bits of a row then do not depend on the others.
struct Decoding {
  const CachedRows* rows = nullptr;
};
using Mode = std::variant<Evaluation, Training, Differentiation, Decoding>;

struct Pass {
  Inputs inputs;
  Mode mode = Evaluation{};
  Tensor head_sums = {};  // fp64 [heads, kHeadSums], added to; not when decoding
};

// The weights in compute precision: one flat buffer, laid out by the table.
struct Weights {
  const ParamTable* table = nullptr;
  Tensor flat;
  std::vector<Event> ready;  // per bucket: its gathering after the last update

  Tensor View(ParamId id) const {
    const Param& param = (*table)[id];
    return Tensor::Contiguous(flat.data + param.offset * static_cast<int64_t>(SizeOf(flat.dtype)),
                              param.local, flat.dtype, flat.device);
  }
};

class Step {
 public:
  // grads may be null where nothing is trained. All outlive the step.
  Step(Stream& stream, Stream& comm_stream, Mesh& mesh, const Plan& plan, std::byte* arena,
       Weights& weights, GradSync* grads, const Pass& pass)
      : stream_(stream),
        comm_stream_(comm_stream),
        mesh_(mesh),
        plan_(plan),
        arena_(arena),
        weights_(weights),
        grads_(grads),
        pass_(pass) {}

  Stream& stream() { return stream_; }
  Mesh& mesh() { return mesh_; }
  Communicator& tensor_group() { return mesh_.group(Axis::kTensor); }
  const Inputs& inputs() const { return pass_.inputs; }
  const Tensor& head_sums() const { return pass_.head_sums; }
  // Null where the pass is for something else.
  const Training* training() const { return std::get_if<Training>(&pass_.mode); }
  // Whether there is a backward pass, and whether it gives parameters gradients.
  bool has_backward() const {
    return learns() || std::holds_alternative<Differentiation>(pass_.mode);
  }
  bool learns() const { return training() != nullptr; }
  const CachedRows* cached() const {
    const auto* decoding = std::get_if<Decoding>(&pass_.mode);
    return decoding == nullptr ? nullptr : decoding->rows;
  }

  // Waits for the weight where it is still being gathered.
  Tensor Weight(ParamId id) {
    Event& ready = weights_.ready[(*weights_.table)[id].bucket];
    stream_.Wait(ready);
    ready = Event();
    return weights_.View(id);
  }
  // As planned; when decoding, its first rows.
  Tensor Slot(SlotId id) const {
    const Tensor view = plan_.View(id, arena_, stream_.device());
    return cached() == nullptr ? view : view.Slice(0, 0, inputs().sequence_length);
  }

  struct GradTarget {
    Tensor grad;              // fp32
    bool accumulate = false;  // false: overwrite
  };
  GradTarget Grad(ParamId id) {
    GradTarget target;
    target.grad = grads_->Grad(id, &target.accumulate);
    return target;
  }
  // This use has added its gradient; also lets communication make progress.
  void GradDone(ParamId id) {
    grads_->Done(id, stream_);
    comm_stream_.Poll();
  }
  // This use has no gradient to add.
  void SkipGrad(ParamId id) {
    grads_->Skip(id, stream_);
    comm_stream_.Poll();
  }
  // Between ops of the forward pass.
  void Progress() { comm_stream_.Poll(); }

 private:
  Stream& stream_;
  Stream& comm_stream_;
  Mesh& mesh_;
  const Plan& plan_;
  std::byte* arena_;
  Weights& weights_;
  GradSync* grads_;
  const Pass pass_;
};

}  // namespace tl
