// SPDX-License-Identifier: Apache-2.0
// Runs a model on one rank: allocates the memory that the model plans, and makes the passes of
// training and evaluation over it.
#pragma once

#include <memory>
#include <vector>

#include "comm/mesh.h"
#include "engine/input_loader.h"
#include "engine/model.h"
#include "model/rope_table.h"
#include "nn/batch.h"
#include "nn/step.h"

namespace tl {

class Engine {
 public:
  // Allocates on the mesh's place, of whose kind of device the model was declared: its gradients
  // too where it is to be trained. passes: whose inputs may wait on the host at once, the
  // micro-batches of a step; 0: it only decodes. Model and mesh outlive the engine.
  Engine(Model& model, Mesh& mesh, int64_t passes = 1);
  Engine(const Engine&) = delete;
  // Waits for what is in flight: all ranks must end their engines at the same point.
  ~Engine() { comm_stream_.Synchronize(); }

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  const ParamTable& params() const { return model_.params(); }
  Mesh& mesh() { return mesh_; }
  Device device() const { return stream_.device(); }
  Stream& stream() { return stream_; }
  Stream& comm_stream() { return comm_stream_; }
  Weights& weights() { return weights_; }
  Tensor grads() const { return grads_; }  // flat fp32, of what is trained; null for inference
  GradSync& grad_sync() { return *grad_sync_; }
  Tensor rope() const { return rope_.view(); }
  // Makes what the layers see of this engine in a pass.
  Step MakeStep(const Pass& pass);

  // Forward and backward pass over one micro-batch: adds to the gradients and to the head sums.
  // head_weights: of this step; empty: all heads are trained.
  void ForwardBackward(const HostBatch& batch, const StepScalars* scalars,
                       absl::Span<const double> head_weights = {});
  // Adds to the head sums alone.
  void Evaluate(const HostBatch& batch);
  // Of a model of values: what the network gives for a batch's noisy values, features and labels, to
  // every rank of a tensor group the same bits. out: [rows, row values] on the host. Not where rows
  // are split.
  void Predict(const HostBatch& batch, absl::Span<float> out);
  // The same, of a model that was declared for input gradients; and into product, like out, the
  // gradient at the noisy values of the sum of out times the batch's target.
  void Predict(const HostBatch& batch, absl::Span<float> out, absl::Span<float> product);
  // HeadSums of every head over this data rank's tokens since they were cleared, the same on all
  // ranks of the tensor group: fp64 [heads, kHeadSums] on the device.
  Tensor head_sums() const { return head_sums_; }
  void ClearHeadSums() { ZeroBytes(stream_, head_sums_.data, head_sums_.bytes()); }
  // Sums the head sums over the data group and starts to copy them to the host.
  void StartReadingHeads();
  // Tells what was read, once the stream has come there.
  std::vector<HeadResult> Heads() const;
  // Sets a whole local parameter, given as fp32.
  void SetWeights(ParamId id, const float* values) { SetValues(weights_.View(id), values); }

 private:
  // Copies to the host what the first rank of the tensor group has.
  void ReadAlike(Tensor x, absl::Span<float> out);

  Model& model_;
  Mesh& mesh_;
  Stream stream_, comm_stream_;
  RopeTable rope_;
  Buffer weight_memory_, grad_memory_, arena_, sums_memory_;
  Buffer host_sums_;  // pinned, for a device: so that the copy lets the host go on
  InputLoader inputs_;
  Weights weights_;
  Tensor grads_, head_sums_;
  std::unique_ptr<GradSync> grad_sync_;
};

}  // namespace tl
