// SPDX-License-Identifier: Apache-2.0
// The product's loss and every gradient against the fp64 twin, for the models, batches and ways of
// running that exist.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "tests/engine/rig.h"

namespace tl {
namespace {

struct Case {
  std::string name;
  std::function<void(Config&, BatchOptions&)> change;
};

void Nothing(Config&, BatchOptions&) {}

std::vector<Case> Models() {
  return {
      {"Llama", [](Config& c, BatchOptions&) { c.model.tie_embeddings = false; }},
      {"LlamaTied", Nothing},
      {"Llama3Scaling",
       [](Config& c, BatchOptions&) {
         c.model.rope_scaling = {.factor = 8.0, .original_context = 16};
         c.model.rope_theta = 500.0;
       }},
      {"Qwen2", [](Config& c, BatchOptions&) { c.model.qkv_bias = true; }},
      {"Qwen3",
       [](Config& c, BatchOptions&) {
         c.model.qk_norm = true;
         c.model.norm_eps = 1e-6;
       }},
      {"BiasAndNorm", [](Config& c, BatchOptions&) { c.model.qkv_bias = c.model.qk_norm = true; }},
      {"Mistral",
       [](Config& c, BatchOptions&) {
         c.model.tie_embeddings = false;
         c.model.sliding_window = 5;
       }},
      {"MultiHead", [](Config& c, BatchOptions&) { c.model.kv_heads = 4; }},
      {"MultiQuery", [](Config& c, BatchOptions&) { c.model.kv_heads = 1; }},
      {"OneLayer", [](Config& c, BatchOptions&) { c.model.layers = 1; }},
  };
}

// Batches that round other things too.
std::vector<Case> Batches() {
  return {
      {"Packed", [](Config& c, BatchOptions& b) { c.data.pack_documents = b.packed = true; }},
      {"MicroBatchesMasked",
       [](Config& c, BatchOptions& b) {
         c.train.micro_batch_size = 2;
         b.masked = true;
         c.model.tie_embeddings = false;
       }},
      {"ZLoss", [](Config& c, BatchOptions&) { c.train.z_loss = 1e-2; }},
      {"Dropout",
       [](Config& c, BatchOptions&) {
         c.train.hidden_dropout = 0.25;
         c.train.micro_batch_size = 2;
       }},
      {"LongerThanATile",
       [](Config& c, BatchOptions&) {
         c.model.layers = 1;
         c.train.sequence_length = 203;
         c.train.global_batch_size = c.train.micro_batch_size = 1;
       }},
      {"Everything",
       [](Config& c, BatchOptions& b) {
         c.model.tie_embeddings = false;
         c.model.qkv_bias = c.model.qk_norm = true;
         c.model.sliding_window = 9;
         c.model.rope_scaling = {.factor = 8.0, .original_context = 16};
         c.data.pack_documents = b.packed = b.masked = true;
         c.train.z_loss = 1e-3;
         c.train.hidden_dropout = 0.1;
         c.train.micro_batch_size = 1;
         c.train.loss_chunk = 5;
         c.train.recompute = Recompute::kFull;
       }},
  };
}

// The same arithmetic, otherwise cut.
std::vector<Case> Cuts() {
  return {
      {"PackedWindow",
       [](Config& c, BatchOptions& b) {
         c.data.pack_documents = b.packed = true;
         c.model.sliding_window = 3;
       }},
      {"PositionsWithoutSegments", [](Config&, BatchOptions& b) { b.packed = true; }},
      {"Masked", [](Config&, BatchOptions& b) { b.masked = true; }},
      {"MicroBatches", [](Config& c, BatchOptions&) { c.train.micro_batch_size = 1; }},
      {"ChunkOne", [](Config& c, BatchOptions&) { c.train.loss_chunk = 1; }},
      {"ChunkOdd", [](Config& c, BatchOptions&) { c.train.loss_chunk = 13; }},
      {"ChunkLarge", [](Config& c, BatchOptions&) { c.train.loss_chunk = 1000; }},
      {"OneBucket", [](Config& c, BatchOptions&) { c.parallel.bucket_elements = 1 << 30; }},
  };
}

class Gradients : public testing::TestWithParam<Case> {};
class LowPrecision : public testing::TestWithParam<Case> {};

TEST_P(Gradients, Fp32EqualsTheTwin) {
  Config config = SmallConfig();
  BatchOptions batch;
  GetParam().change(config, batch);
  const reference::Params params = RandomParams(config.model);
  Rig rig(config, batch);
  rig.SetWeights(params);
  const auto twin = reference::RunModel(rig.TwinOptions(), params, rig.Batches());
  const StepResult result = rig.Run();
  EXPECT_NEAR(result.loss, twin.loss, 1e-6 * twin.loss);
  double worst = 0.0, squares = 0.0;
  ASSERT_EQ(rig.grads.size(), twin.grads.size());
  for (const auto& [name, grad] : twin.grads) {
    const double error = RelativeError(rig.grads.at(name), grad);
    EXPECT_LE(error, 1e-4) << name;
    worst = std::max(worst, error);
    for (const double g : grad) squares += g * g;
  }
  EXPECT_NEAR(result.grad_norm, std::sqrt(squares), 1e-5 * std::sqrt(squares));
  std::printf("loss off by %.1e, gradients by at most %.1e\n",
              std::fabs(result.loss - twin.loss) / twin.loss, worst);
}

// Making activations again changes no bit.
TEST_P(Gradients, RecomputeKeepsEveryBit) {
  reference::Params kept;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    Config config = SmallConfig();
    BatchOptions batch;
    GetParam().change(config, batch);
    config.train.recompute = recompute;
    Rig rig(config, batch);
    rig.SetWeights(RandomParams(config.model));
    rig.Run();
    if (recompute == Recompute::kNone)
      kept = rig.grads;
    else
      EXPECT_EQ(rig.grads, kept) << Name(recompute);
  }
}

// In bf16 and fp16 the error of each tensor, ||g - exact|| / ||exact||, is at most twice that of
// the twin with every tensor rounded where it is stored, plus one rounding of the type: sums in
// another order may fall to the other side of a rounding, but nothing may be rounded more often.
TEST_P(LowPrecision, GradientsAreNoWorseThanTheirStorage) {
  for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
    SCOPED_TRACE(Name(precision));
    Config config = SmallConfig();
    BatchOptions batch;
    GetParam().change(config, batch);
    config.precision.compute = precision;
    config.precision.loss_scale = 1024.0;
    const DType dtype = precision == Precision::kBf16 ? DType::kBF16 : DType::kF16;
    const reference::Params params = RandomParams(config.model, dtype);
    Rig rig(config, batch);
    rig.SetWeights(params);
    const auto batches = rig.Batches();
    reference::ModelOptions options = rig.TwinOptions();
    const auto exact = reference::RunModel(options, params, batches);
    options.store = {dtype};
    options.loss_scale = precision == Precision::kFp16 ? 1024.0 : 1.0;
    const auto naive = reference::RunModel(options, params, batches);
    const StepResult result = rig.Run();
    const double unit = dtype == DType::kBF16 ? 0x1p-8 : 0x1p-11;
    EXPECT_FALSE(result.skipped);
    EXPECT_NEAR(result.loss, exact.loss,
                2 * std::fabs(naive.loss - exact.loss) + unit * exact.loss);
    double worst = 0.0, largest = 0.0;
    for (const auto& [name, grad] : exact.grads) {
      const double error = RelativeError(rig.grads.at(name), grad);
      const double bound = RelativeError(naive.grads.at(name), grad);
      EXPECT_LE(error, 2 * bound + unit) << name;
      worst = std::max(worst, error / bound);
      largest = std::max(largest, error);
    }
    std::printf("%s: gradients off by at most %.1e, %.2f of the naive\n", Name(precision), largest,
                worst);
  }
}

std::string CaseName(const testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Models, Gradients, testing::ValuesIn(Models()), CaseName);
INSTANTIATE_TEST_SUITE_P(Batches, Gradients, testing::ValuesIn(Batches()), CaseName);
INSTANTIATE_TEST_SUITE_P(Cuts, Gradients, testing::ValuesIn(Cuts()), CaseName);
INSTANTIATE_TEST_SUITE_P(Models, LowPrecision, testing::ValuesIn(Models()), CaseName);
INSTANTIATE_TEST_SUITE_P(Batches, LowPrecision, testing::ValuesIn(Batches()), CaseName);

}  // namespace
}  // namespace tl
