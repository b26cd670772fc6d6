// SPDX-License-Identifier: Apache-2.0
// A conditioned trunk between patches and a head of values: loss, gradients, measures, memory and
// counts, against the fp64 twin.
#include "objective/regression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tests/engine/regression_rig.h"
#include "tests/nn/layer_rig.h"
#include "tests/reference/regression.h"

namespace tl {
namespace {

using reference::Params;

std::vector<HostBatch> RegressionBatches(const RegressionCase& c) {
  return {RandomSamples(c.model, c.batch), RandomSamples(c.model, c.batch, c.batch)};
}

reference::ModelOptions TwinOptions(const RegressionCase& c) {
  return {.model = c.model, .dropout = {.rate = c.dropout, .seed = 1}};
}

std::vector<RegressionCase> Cases() {
  std::vector<RegressionCase> cases(6);
  cases[1].model.classes = 0;
  cases[1].model.qk_norm = true;
  cases[2].model.shape = {2, 1, 1};
  cases[2].model.patch = 1;
  cases[3].model.shape = {1, 8, 4};
  cases[3].model.qkv_bias = true;
  cases[3].model.kv_heads = 4;
  cases[3].batch = 1;
  cases[4].dropout = 0.25;
  cases[5].model.layers = 1;
  cases[5].model.kv_heads = 1;
  return cases;
}

TEST(Regression, LossAndGradientsAreTheTwins) {
  for (const RegressionCase& c : Cases()) {
    SCOPED_TRACE(&c - Cases().data());
    const Params params = RandomParams(c.model);
    const std::vector<HostBatch> batches = RegressionBatches(c);
    const auto twin = reference::RunRegression(TwinOptions(c), params, batches);
    Regressed model(c);
    model.SetWeights(params);
    const Params grads = model.Run(batches);
    EXPECT_NEAR(model.Head().loss, twin.loss, 1e-6 * twin.loss);
    ASSERT_EQ(grads.size(), twin.grads.size());
    for (const auto& [name, grad] : twin.grads) {
      double largest = 0.0;
      for (const double g : grad) largest = std::max(largest, std::fabs(g));
      // Those of a row that sees itself alone, at q and k, are zero.
      if (largest < 1e-12) continue;
      EXPECT_LE(RelativeError(grads.at(name), grad), 1e-5) << name;
    }
  }
}

TEST(Regression, RecomputeKeepsEveryBit) {
  Params kept;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    RegressionCase c{.recompute = recompute, .dropout = 0.25};
    c.model.layers = 3;
    c.model.qk_norm = true;
    Regressed model(c);
    model.SetWeights(RandomParams(c.model));
    const Params grads = model.Run(RegressionBatches(c));
    if (recompute == Recompute::kNone)
      kept = grads;
    else
      EXPECT_EQ(grads, kept) << Name(recompute);
  }
}

// As PoisonedMemory in poison_test.cc: no pass reads what it has not written.
TEST(Regression, PoisonedMemoryChangesNothing) {
  ModelConfig model = reference::SmallPictures();
  model.layers = 3;
  model.qk_norm = true;
  const DropoutConfig dropout = {.rate = 0.25, .seed = 1};
  const HostBatch batch = RandomSamples(model, 3);
  StepScalars scalars;
  scalars.grad_scale[0] = 1.0f;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
      SCOPED_TRACE(std::string(Name(recompute)) + " " + Name(dtype));
      const Geometry geometry{.batch = 3, .sequence_length = model.patches(), .compute = dtype};
      Trunk trunk(model, model.layers, geometry, {.recompute = recompute, .dropout = dropout});
      const RopeTable rope(model, geometry.sequence_length, Device{});
      Regression objective({.geometry = geometry,
                            .shape = model.shape,
                            .patch = model.patch,
                            .classes = model.classes,
                            .hidden = model.hidden,
                            .dropout = dropout,
                            .unembedding = {}},
                           "values");
      const std::unique_ptr<Stem> stem = objective.MakeStem();
      LayerRig rig(geometry, [&](Plan& plan) {
        stem->Declare(plan);
        trunk.Declare(plan);
        objective.Declare(plan);
      });
      rig.SetWeights(RandomParams(model, dtype));
      InputLoader loader({.count = 3,
                          .sequence_length = geometry.sequence_length,
                          .row_values = model.patch_values()},
                         {.compute = dtype, .classes = model.classes}, Device{}, 1);
      Stream stream = Stream::Cpu();
      const Inputs inputs = loader.Load(stream, batch);
      std::vector<float> grads;
      std::vector<double> sums;
      for (int run = 0; run < 3; ++run) {
        // The second run finds what the first has left, the third NaN again.
        if (run != 1) rig.Poison();
        std::vector<double> now(kHeadSums);
        rig.Run(
            inputs, {.scalars = &scalars},
            [&](Step& step) {
              stem->Forward(step, step.Slot(trunk.stem_slot()));
              const Taps taps = trunk.Forward(step, rope.view());
              objective.Run(step, taps);
              trunk.Backward(step, taps);
              stem->Backward(step, taps.d_out);
            },
            Tensor::Of(now.data(), {1, kHeadSums}));
        if (run == 0) {
          sums = now;
          grads = rig.flat_grads();
          for (const float g : grads) ASSERT_TRUE(std::isfinite(g));
        }
        EXPECT_EQ(now, sums) << run;
        EXPECT_EQ(rig.flat_grads(), grads) << run;
      }
    }
  }
}

// As LowPrecision in gradients_test.cc.
TEST(Regression, LowPrecisionIsNoWorseThanItsStorage) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    SCOPED_TRACE(Name(dtype));
    const RegressionCase c{.compute = dtype};
    const Params params = RandomParams(c.model, dtype);
    const std::vector<HostBatch> batches = RegressionBatches(c);
    reference::ModelOptions options = TwinOptions(c);
    const auto exact = reference::RunRegression(options, params, batches);
    options.store = {dtype};
    if (dtype == DType::kF16) options.loss_scale = kLossScale;
    const auto naive = reference::RunRegression(options, params, batches);
    Regressed model(c);
    model.SetWeights(params);
    const Params grads = model.Run(batches);
    const double unit = dtype == DType::kBF16 ? 0x1p-8 : 0x1p-11;
    EXPECT_NEAR(model.Head().loss, exact.loss,
                2 * std::fabs(naive.loss - exact.loss) + unit * exact.loss);
    for (const auto& [name, grad] : exact.grads)
      EXPECT_LE(RelativeError(grads.at(name), grad),
                2 * RelativeError(naive.grads.at(name), grad) + unit)
          << name;
  }
}

// Evaluation computes the same loss in less memory, and tells it by ranges of samples.
TEST(Regression, MeasuresTheLossByRanges) {
  RegressionCase c{.batch = 8, .purpose = Plan::Purpose::kInference};
  c.model.layers = 3;
  const Params params = RandomParams(c.model);
  Regressed model(c);
  model.SetWeights(params);
  const HostBatch batch = RandomSamples(c.model, 8);
  model.engine().Evaluate(batch);
  const HeadResult head = model.Head();
  EXPECT_EQ(head.name, "values");
  EXPECT_EQ(head.targets, model.model().objective().Count(batch, 0));
  EXPECT_EQ(head.targets, 5) << "samples 0, 2, 3, 5, 6";
  EXPECT_NEAR(head.loss, reference::RegressionLoss(TwinOptions(c), params, {&batch, 1}),
              1e-6 * head.loss);
  ASSERT_EQ(head.measures.size(), 4u);
  double sum = 0.0;
  const int64_t samples[] = {1, 1, 2, 1};
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_EQ(head.measures[k].of, samples[k]) << k;
    sum += head.measures[k].value * static_cast<double>(samples[k]);
  }
  EXPECT_NEAR(sum / 5, head.loss, 1e-12);
  RegressionCase training = c;
  training.purpose = Plan::Purpose::kTraining;
  EXPECT_LT(model.model().activation_bytes(), Regressed(training).model().activation_bytes() / 2);
}

// With a zero head the first loss is the mean square of the targets.
TEST(Regression, StartsFromAHeadThatGivesNothing) {
  const RegressionCase c;
  Params params = RandomParams(c.model);
  for (const char* name : {"head.weight", "head.bias"})
    params[name].assign(params[name].size(), 0.0);
  Regressed model(c);
  model.SetWeights(params);
  HostBatch batch = RandomSamples(c.model, c.batch);
  batch.weight.assign(batch.weight.size(), 1.0f);
  batch.range.assign(batch.range.size(), 2);
  double squares = 0.0;
  for (const float t : batch.target) squares += t * t;
  model.engine().Evaluate(batch);
  const HeadResult head = model.Head();
  EXPECT_NEAR(head.loss, squares / static_cast<double>(batch.target.size()), 1e-5);
  EXPECT_EQ(head.measures[2].value, head.loss);
  EXPECT_TRUE(std::isnan(head.measures[0].value)) << "no sample is in this range";
}

TEST(Regression, CountsParametersAndFlops) {
  const RegressionCase c;
  const ModelConfig& m = c.model;
  const double d = 48, rows = 16, width = 48, attention = 2 * 48 * (4 + 2) * 32, mlp = 3 * 48 * 80;
  const double samples = d * 256 + d * d + 2 * 6 * d * d + 2 * d * d;
  const double patches = 2 * (attention + mlp) + 2 * width * d;
  const Regressed model(c);
  EXPECT_EQ(m.patches(), rows);
  EXPECT_EQ(model.model().params().parameters(),
            samples + patches + (m.classes + 1) * d + 3 * d + width);
  // Rows see each other both ways: two products of 4 x 32 numbers for each of 16 keys. Nobody asks
  // for the gradient of what comes in.
  const double one_way = width * d + d * 256 / rows;
  EXPECT_NEAR(model.model().plan().flops_per_token(),
              3 * 2 * (patches + samples / rows + 2 * 2 * 4 * 32 * rows) - 2 * one_way, 1e-6);
}

}  // namespace
}  // namespace tl
