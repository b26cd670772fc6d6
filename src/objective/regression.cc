// SPDX-License-Identifier: Apache-2.0
#include "objective/regression.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/squared_error.h"
#include "nn/patch_stem.h"
#include "nn/whole_rows.h"

namespace tl {
namespace {

static_assert(kRangeSums == kHeadSums);

// Of the main head, on the device.
Tensor GradScale(Step& step) {
  const float* scale = &step.training()->scalars->grad_scale[0];
  return Tensor::Contiguous(reinterpret_cast<std::byte*>(const_cast<float*>(scale)), {1},
                            DType::kF32, step.stream().device());
}

double Mean(double sum, double count) {
  return count > 0.0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

const std::array<MeasureKind, 4> kRangeLosses = {
    MeasureKind{"noise_1", "noise 1", "samples_1", "samples"},
    {"noise_2", "noise 2", "samples_2", "samples"},
    {"noise_3", "noise 3", "samples_3", "samples"},
    {"noise_4", "noise 4", "samples_4", "samples"}};

Regression::Regression(const ObjectiveContext& context, const std::string& head)
    : Objective(context),
      head_name_(head),
      head_({.row_values = row_values(), .hidden = context.hidden, .norm_eps = context.norm_eps},
            context.geometry) {}

std::unique_ptr<Stem> Regression::MakeStem() const {
  return std::make_unique<PatchStem>(PatchStemConfig{.row_values = row_values(),
                                                     .hidden = context_.hidden,
                                                     .init_std = context_.embedding.init_std,
                                                     .dropout = context_.dropout},
                                     context_.geometry);
}

int64_t Regression::Count(const HostBatch& batch, int) const {
  return std::count_if(batch.weight.begin(), batch.weight.end(), [](float w) { return w > 0.0f; });
}

HeadResult Regression::Result(int, const std::array<double, kHeadSums>& sums) const {
  const auto s = std::bit_cast<RangeSums>(sums);
  double loss = 0.0, samples = 0.0;
  HeadResult result = {.name = head_name_};
  for (size_t k = 0; k < kRangeLosses.size(); ++k) {
    loss += s.losses[k];
    samples += s.samples[k];
    result.measures.push_back(
        {&kRangeLosses[k], Mean(s.losses[k], s.samples[k]), static_cast<int64_t>(s.samples[k])});
  }
  result.targets = static_cast<int64_t>(samples);
  result.loss = Mean(loss, samples);
  return result;
}

void Regression::Declare(Plan& plan) {
  const Geometry& g = context_.geometry;
  head_.Declare(plan);
  losses_ = plan.Slot("sample_losses", {g.batch}, DType::kF32, Life::kForward);
  d_f_ = plan.GradientSlot("d_f", {g.local_rows(), row_values()}, g.compute, Life::kSaved);
}

void Regression::Run(Step& step, const Taps& taps) {
  const Geometry& g = context_.geometry;
  const Inputs& inputs = step.inputs();
  const Tensor f = Predict(step, taps), losses = step.Slot(losses_);
  const bool trains = static_cast<bool>(taps.d_out);
  const Tensor d_f = trains ? step.Slot(d_f_) : Tensor{};
  SquaredError(step.stream(), {.losses = losses,
                               .dy = d_f,
                               .y = f,
                               .target = OwnRows(step, g, inputs.value_targets),
                               .weights = inputs.weights,
                               .grad_scale = trains ? GradScale(step) : Tensor{},
                               .samples = SamplesOf(step, g)});
  if (g.split_rows()) step.tensor_group().AllReduce(step.stream(), losses);
  SumByRange(step.stream(), {.sums = step.head_sums().Slice(0, 0, 1).Reshape({kRangeSums}),
                             .losses = losses,
                             .ranges = inputs.ranges});
  if (trains) PredictBackward(step, taps, d_f);
}

}  // namespace tl
