// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <array>
#include <cstring>

#include "device/profiler_range.h"
#include "kernels/head_metrics.h"

namespace tl {

Engine::Engine(Model& model, Mesh& mesh, int64_t passes)
    : model_(model),
      mesh_(mesh),
      stream_(Stream::On(mesh.place().device)),
      comm_stream_(Stream::On(mesh.place().device, Stream::Mode::kAsync)),
      rope_(model.options().model, model.positions(), mesh.place().device),
      inputs_(model.batch_shape(),
              {.compute = model.options().compute,
               .segments = model.options().segments,
               .classes = model.options().model.classes},
              mesh.place().device, passes) {
  const Device device = mesh.place().device;
  TL_CHECK(device.type == model.options().device) << "declared for another kind of device";
  weight_memory_ = Buffer::Allocate(device, model.weight_bytes());
  weights_.table = &model.params();
  weights_.flat = Tensor::Contiguous(weight_memory_.data(), {model.params().elements()},
                                     model.options().compute, device);
  weights_.ready.resize(model.params().buckets().size());
  arena_ = Buffer::Allocate(device, model.activation_bytes());
  if (device.type != DeviceType::kCpu && passes > 0) stream_.Scratch(model.scratch_bytes());
  sums_memory_ = Buffer::Allocate(device, model.sum_bytes());
  head_sums_ = Tensor::Contiguous(sums_memory_.data(), {model.objective().head_count(), kHeadSums},
                                  DType::kF64, device);
  host_sums_ = Buffer::AllocateHost(device, model.sum_bytes());
  ClearHeadSums();
  if (model.options().purpose != Plan::Purpose::kTraining) return;
  grad_memory_ = Buffer::Allocate(device, model.gradient_bytes());
  ZeroBytes(stream_, grad_memory_.data(), grad_memory_.size());
  grads_ = Tensor::Contiguous(grad_memory_.data(), {model.params().trainable_elements()},
                              DType::kF32, device);
  grad_sync_ = std::make_unique<GradSync>(model.params(), mesh_, comm_stream_, grads_);
}

Step Engine::MakeStep(const Pass& pass) {
  return {stream_,  comm_stream_,     mesh_, model_.plan(), arena_.data(),
          weights_, grad_sync_.get(), pass};
}

void Engine::ForwardBackward(const HostBatch& batch, const StepScalars* scalars,
                             absl::Span<const double> head_weights) {
  Step step = MakeStep({.inputs = inputs_.Load(stream_, batch),
                        .mode = Training{.first_sample = batch.first_sample,
                                         .scalars = scalars,
                                         .head_weights = head_weights},
                        .head_sums = head_sums_});
  Trunk& trunk = model_.trunk();
  model_.stem().Forward(step, step.Slot(trunk.stem_slot()));
  const Taps taps = trunk.Forward(step, rope());
  {
    const ProfilerRange range("objective");
    model_.objective().Run(step, taps);
  }
  if (!taps.d_out) return;
  trunk.Backward(step, taps);
  model_.stem().Backward(step, taps.d_out);
}

void Engine::Evaluate(const HostBatch& batch) {
  Step step = MakeStep(
      {.inputs = inputs_.Load(stream_, batch), .mode = Evaluation{}, .head_sums = head_sums_});
  model_.stem().Forward(step, step.Slot(model_.trunk().stem_slot()));
  model_.objective().Run(step, model_.trunk().Forward(step, rope()));
}

void Engine::Predict(const HostBatch& batch, absl::Span<float> out) {
  TL_CHECK(!model_.geometry().split_rows()) << "a rank has a part of the rows alone";
  Step step = MakeStep({.inputs = inputs_.Load(stream_, batch), .mode = Evaluation{}});
  model_.stem().Forward(step, step.Slot(model_.trunk().stem_slot()));
  const Tensor f = model_.objective().Predict(step, model_.trunk().Forward(step, rope()));
  ReadAlike(f, out);
  stream_.Synchronize();
}

void Engine::Predict(const HostBatch& batch, absl::Span<float> out, absl::Span<float> product) {
  const ModelOptions& options = model_.options();
  TL_CHECK(options.purpose == Plan::Purpose::kInputGradient && options.compute == DType::kF32);
  TL_CHECK(!model_.geometry().split_rows()) << "a rank has a part of the rows alone";
  Step step = MakeStep({.inputs = inputs_.Load(stream_, batch), .mode = Differentiation{}});
  Stem& stem = model_.stem();
  stem.Forward(step, step.Slot(model_.trunk().stem_slot()));
  const Taps taps = model_.trunk().Forward(step, rope());
  // Read before the backward pass, which takes its memory.
  ReadAlike(model_.objective().Predict(step, taps), out);
  model_.objective().PredictBackward(step, taps, step.inputs().value_targets);
  model_.trunk().Backward(step, taps);
  stem.Backward(step, taps.d_out);
  ReadAlike(stem.input_gradient(step), product);
  stream_.Synchronize();
}

void Engine::ReadAlike(Tensor x, absl::Span<float> out) {
  TL_CHECK(x.dtype == DType::kF32 && x.elements() == static_cast<int64_t>(out.size()));
  Communicator& group = mesh_.group(Axis::kTensor);
  if (group.size() > 1) group.Broadcast(stream_, x, 0);
  CopyBytes(stream_, reinterpret_cast<std::byte*>(out.data()), x.data, x.bytes());
}

void Engine::StartReadingHeads() {
  mesh_.group(Axis::kData).AllReduce(stream_, head_sums_);
  CopyBytes(stream_, host_sums_.data(), head_sums_.data, head_sums_.bytes());
}

std::vector<HeadResult> Engine::Heads() const {
  const Objective& objective = model_.objective();
  std::vector<HeadResult> results;
  for (int head = 0, heads = objective.head_count(); head < heads; ++head) {
    std::array<double, kHeadSums> sums;
    std::memcpy(sums.data(), host_sums_.data() + head * sizeof(sums), sizeof(sums));
    results.push_back(objective.Result(head, sums));
  }
  return results;
}

}  // namespace tl
