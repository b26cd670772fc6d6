// SPDX-License-Identifier: Apache-2.0
// A whole model over memory that is filled with NaN before every pass gives the same bits as over
// any other: no pass reads what it has not written, whatever its plan shares.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "engine/engine.h"
#include "kernels/head_metrics.h"
#include "tests/engine/rig.h"
#include "tests/nn/layer_rig.h"

namespace tl {
namespace {

using Setting = std::tuple<Recompute, DType>;

class PoisonedMemory : public testing::TestWithParam<Setting> {};

struct Layers {
  Layers(const ModelConfig& model, const Geometry& geometry, Recompute recompute, double dropout,
         Plan::Purpose purpose)
      : trunk(model, model.layers, geometry,
              {.recompute = recompute, .dropout = {.rate = dropout, .seed = 1}}),
        rope(model, geometry.sequence_length, Device{}),
        objective(
            MakeObjective(
                {},
                {.geometry = geometry,
                 .vocab = model.vocab,
                 .hidden = model.hidden,
                 .embedding = VocabularySpec("embedding.weight", model.vocab, model.hidden, 0.02),
                 .dropout = {.rate = dropout, .seed = 1},
                 .unembedding = VocabularySpec("embedding.weight", model.vocab, model.hidden, 0.02),
                 .loss_chunk = 7})
                .value()),
        stem(objective->MakeStem()) {
    rig.emplace(
        geometry,
        [this](Plan& plan) {
          stem->Declare(plan);
          trunk.Declare(plan);
          objective->Declare(plan);
        },
        purpose);
    rig->SetWeights(RandomParams(model, geometry.compute));
  }

  Trunk trunk;
  RopeTable rope;
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Stem> stem;
  std::optional<LayerRig> rig;
};

TEST_P(PoisonedMemory, ChangesNothing) {
  const auto [recompute, dtype] = GetParam();
  ModelConfig model = SmallModel();
  model.qkv_bias = model.qk_norm = true;
  const Geometry geometry{.batch = 2, .sequence_length = 12, .compute = dtype};
  HostBatch host = RandomBatch({.count = 2, .length = 12, .vocab = model.vocab, .packed = true});
  HeadSums sums;
  const Tensor head_sums = Tensor::Of(reinterpret_cast<double*>(&sums), {1, kHeadSums});
  const Inputs inputs{.batch = 2,
                      .sequence_length = 12,
                      .tokens = Tensor::Of(host.inputs.data(), {24}),
                      .positions = Tensor::Of(host.positions.data(), {24}),
                      .segments = Tensor::Of(host.segments.data(), {2, 12}),
                      .targets = Tensor::Of(host.targets_storage.data(), {1, 24})};
  StepScalars scalars;
  scalars.grad_scale[0] = 1.0f;
  double first_loss = 0.0;
  int64_t training_bytes = 0;
  for (const double dropout : {0.3, 0.0}) {
    Layers m(model, geometry, recompute, dropout, Plan::Purpose::kTraining);
    training_bytes = m.rig->plan().arena_bytes();
    std::vector<float> first_grads;
    for (int run = 0; run < 3; ++run) {
      // The second run finds what the first has left, the third NaN again.
      if (run != 1) m.rig->Poison();
      sums = {};
      m.rig->Run(
          inputs, {.scalars = &scalars},
          [&](Step& step) {
            m.stem->Forward(step, step.Slot(m.trunk.stem_slot()));
            const Taps taps = m.trunk.Forward(step, m.rope.view());
            m.objective->Run(step, taps);
            m.trunk.Backward(step, taps);
            m.stem->Backward(step, taps.d_out);
          },
          head_sums);
      if (run == 0) {
        first_loss = sums.loss;
        first_grads = m.rig->flat_grads();
        for (const float g : first_grads) ASSERT_TRUE(std::isfinite(g));
      }
      EXPECT_EQ(sums.loss, first_loss) << run;
      EXPECT_EQ(sums.targets, host.TargetCount(1));
      EXPECT_EQ(m.rig->flat_grads(), first_grads) << run;
    }
  }

  // The loss without dropout also without a backward pass, in less memory.
  Layers evaluated(model, geometry, recompute, 0.3, Plan::Purpose::kInference);
  EXPECT_LT(evaluated.rig->plan().arena_bytes(), training_bytes);
  sums = {};
  evaluated.rig->Evaluate(
      inputs,
      [&](Step& step) {
        evaluated.stem->Forward(step, step.Slot(evaluated.trunk.stem_slot()));
        evaluated.objective->Run(step, evaluated.trunk.Forward(step, evaluated.rope.view()));
      },
      head_sums);
  EXPECT_EQ(sums.loss, first_loss);
  std::printf("activations: training %lld bytes, inference %lld\n",
              static_cast<long long>(training_bytes),
              static_cast<long long>(evaluated.rig->plan().arena_bytes()));
}

INSTANTIATE_TEST_SUITE_P(All, PoisonedMemory,
                         testing::Combine(testing::Values(Recompute::kNone, Recompute::kSelective,
                                                          Recompute::kFull),
                                          testing::Values(DType::kF32, DType::kBF16, DType::kF16)),
                         [](const testing::TestParamInfo<Setting>& info) {
                           return std::string(Name(std::get<0>(info.param))) + "_" +
                                  Name(std::get<1>(info.param));
                         });

// Whatever shares memory with what in a plan without backward pass, the loss is the same.
TEST(Memory, InferencePlansOfManySizes) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1, {.device = TestDevice()}).value();
  for (const int64_t layers : {1, 2, 3, 5}) {
    for (const int64_t hidden : {48, 64, 128}) {
      for (const int64_t ffn : {40, 80, 300}) {
        for (const int64_t chunk : {0, 3}) {
          ModelOptions options;
          options.model = SmallModel();
          options.model.layers = layers;
          options.model.hidden = hidden;
          options.model.ffn = ffn;
          options.batch = 2;
          options.sequence_length = 5;
          options.loss_chunk = chunk;
          const HostBatch batch = RandomBatch({.count = 2, .length = 5, .vocab = 67});
          double losses[2] = {};
          for (const auto purpose : {Plan::Purpose::kTraining, Plan::Purpose::kInference}) {
            options.purpose = purpose;
            const auto model = Model::Declare(options, mesh.grid()).value();
            Engine engine(*model, mesh);
            ShardedState state(model->params(), mesh, {}, engine.weights(), {});
            state.Initialize(1);
            engine.Evaluate(batch);
            losses[purpose == Plan::Purpose::kInference] = *engine.head_sums().as<double>();
          }
          ASSERT_EQ(losses[0], losses[1])
              << layers << " layers of " << hidden << ", ffn " << ffn << ", chunk " << chunk;
        }
      }
    }
  }
}

// Without a backward pass memory does not grow with depth.
TEST(Memory, InferenceKeepsNothingPerLayer) {
  ModelOptions options;
  options.model = SmallModel();
  options.sequence_length = 16;
  options.purpose = Plan::Purpose::kInference;
  const int64_t two_layers = Model::Declare(options, {}).value()->activation_bytes();
  options.model.layers = 20;
  EXPECT_EQ(Model::Declare(options, {}).value()->activation_bytes(), two_layers);
}

// More recomputation, less memory.
TEST(Memory, RecomputingSavesIt) {
  Config config = SmallConfig();
  config.model.layers = 6;
  int64_t previous = INT64_MAX;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    config.train.recompute = recompute;
    Rig rig(config);
    EXPECT_LT(rig->model().activation_bytes(), previous) << Name(recompute);
    previous = rig->model().activation_bytes();
  }
}

}  // namespace
}  // namespace tl
