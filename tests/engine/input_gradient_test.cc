// SPDX-License-Identifier: Apache-2.0
// The gradient of what a model of values gives by the values that it sees, against the fp64 twin's
// and finite differences of that; without gradients of parameters.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "objective/regression.h"
#include "tests/engine/rig.h"
#include "tests/model/cases.h"
#include "tests/reference/regression.h"

namespace tl {
namespace {

using reference::Doubles;
using reference::Params;

constexpr int64_t kSamples = 3;

ModelConfig Pictures(std::vector<int64_t> shape, int64_t patch, int64_t classes) {
  ModelConfig model = reference::SmallPictures();
  model.shape = std::move(shape);
  model.patch = patch;
  model.classes = classes;
  return model;
}

ModelOptions OptionsOf(const ModelConfig& model, Plan::Purpose purpose) {
  ModelOptions options;
  options.model = model;
  options.batch = kSamples;
  options.sequence_length = model.patches();
  // Differentiation drops nothing, as evaluation does.
  options.blocks = {.dropout = {.rate = 0.5, .seed = 1}};
  options.device = TestDevice().type;
  options.purpose = purpose;
  options.make_objective = [](const ObjectiveConfig&, const ObjectiveContext& context) {
    return std::make_unique<Regression>(context, "values");
  };
  return options;
}

// Values that stay what they are in fp32 when kStep is added.
constexpr double kStep = 0x1p-10;
HostBatch CoarseSamples(const ModelConfig& model) {
  HostBatch batch = RandomSamples(model, kSamples);
  for (float& x : batch.noisy) x = std::round(x * 4096.0f) / 4096.0f;
  return batch;
}

// The sum of the twin's output times the targets.
double Along(const ModelConfig& model, const Params& params, const HostBatch& batch) {
  reference::internal::RegressionPass pass({.model = model}, params, batch);
  pass.Forward();
  double sum = 0.0;
  for (size_t i = 0; i < pass.f.size(); ++i) sum += pass.f[i] * batch.target[i];
  return sum;
}

TEST(InputGradient, IsTheTwinsAndThatItsDifferences) {
  std::vector<ModelConfig> models = {Pictures({3, 16, 16}, 4, 5), Pictures({1, 8, 4}, 4, 0),
                                     Pictures({2, 1, 1}, 1, 3)};
  models[1].qk_norm = models[1].qkv_bias = true;
  for (const ModelConfig& model : models) {
    SCOPED_TRACE(testing::PrintToString(model.shape));
    const Params params = RandomParams(model);
    const HostBatch batch = CoarseSamples(model);
    reference::internal::RegressionPass twin({.model = model}, params, batch);
    twin.Forward();
    Params unused;
    const Doubles gradient =
        twin.Backward(Doubles(batch.target.begin(), batch.target.end()), unused);
    // Along random signs.
    HostBatch ahead = batch, behind = batch;
    double slope = 0.0, size = 0.0;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double sign = PhiloxNormal(5, i) > 0.0f ? 1.0 : -1.0;
      ahead.noisy[i] += static_cast<float>(sign * kStep);
      behind.noisy[i] -= static_cast<float>(sign * kStep);
      slope += sign * gradient[i];
      size += gradient[i] * gradient[i];
    }
    EXPECT_NEAR((Along(model, params, ahead) - Along(model, params, behind)) / (2.0 * kStep), slope,
                1e-4 * std::sqrt(size));

    const std::unique_ptr<Communicator> world = MakeSelfCommunicator();
    Mesh mesh = Mesh::Create(*world, 1, {.device = TestDevice()}).value();
    const auto declared =
        Model::Declare(OptionsOf(model, Plan::Purpose::kInputGradient), mesh.grid()).value();
    Engine engine(*declared, mesh);
    for (ParamId id = 0; id < engine.params().size(); ++id) {
      std::vector<float> values(static_cast<size_t>(engine.params()[id].local.elements()));
      for (const PartShard& shard : engine.params()[id].shards) {
        const Doubles& from = params.at(shard.part->name);
        std::copy(from.begin(), from.end(), values.begin() + shard.offset);
      }
      engine.SetWeights(id, values.data());
    }
    std::vector<float> out(gradient.size()), product(gradient.size());
    engine.Predict(batch, absl::MakeSpan(out), absl::MakeSpan(product));
    EXPECT_LE(RelativeError(Doubles(out.begin(), out.end()), twin.f), 1e-5);
    EXPECT_LE(RelativeError(Doubles(product.begin(), product.end()), gradient), 1e-5);
    // Whatever ran before, and with the same output as where there is no backward pass.
    std::vector<float> again(out.size()), product_again(out.size());
    engine.Predict(ahead, absl::MakeSpan(again), absl::MakeSpan(product_again));
    EXPECT_NE(product_again, product);
    engine.Predict(batch, absl::MakeSpan(again), absl::MakeSpan(product_again));
    EXPECT_EQ(product_again, product);
    engine.Predict(batch, absl::MakeSpan(again));
    EXPECT_EQ(again, out);
  }
}

TEST(InputGradient, KeepsNoGradientsOfParameters) {
  const ModelConfig pictures = Pictures({3, 16, 16}, 4, 5);
  const auto declare = [&](Plan::Purpose purpose) {
    return Model::Declare(OptionsOf(pictures, purpose), Grid{}).value();
  };
  const auto training = declare(Plan::Purpose::kTraining),
             gradient = declare(Plan::Purpose::kInputGradient),
             inference = declare(Plan::Purpose::kInference);
  EXPECT_EQ(gradient->gradient_bytes(), 0);
  EXPECT_TRUE(gradient->plan().learns() == false && gradient->plan().has_backward());
  EXPECT_LT(gradient->activation_bytes(), training->activation_bytes());
  EXPECT_GT(gradient->activation_bytes(), inference->activation_bytes());
  const std::unique_ptr<Communicator> world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1, {.device = TestDevice()}).value();
  const Engine engine(*gradient, mesh);
  EXPECT_FALSE(engine.grads());
}

}  // namespace
}  // namespace tl
