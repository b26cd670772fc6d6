// SPDX-License-Identifier: Apache-2.0
// Finite differences prove the fp64 twin of a conditioned trunk that regresses values on values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/gradcheck.h"
#include "tests/model/cases.h"
#include "tests/reference/regression.h"

namespace tl {
namespace {

ModelConfig TinyRegression() {
  return {.layers = 2,
          .hidden = 12,
          .heads = 3,
          .kv_heads = 1,
          .head_dim = 8,
          .ffn = 10,
          .shape = {2, 4, 6},
          .patch = 2,
          .classes = 3};
}

// One element and a random direction of norm 1 of every tensor.
void CheckRegression(const reference::ModelOptions& options,
                     const std::vector<HostBatch>& batches) {
  reference::Params params = RandomParams(options.model, DType::kF64);
  const auto result = reference::RunRegression(options, params, batches);
  ASSERT_EQ(result.grads.size(), params.size());
  for (auto& [name, values] : params) {
    const reference::Doubles kept = values, &grad = result.grads.at(name);
    ASSERT_EQ(grad.size(), values.size()) << name;
    double largest = 0.0, squares = 0.0;
    for (const double g : grad) largest = std::max(largest, std::fabs(g));
    ASSERT_GT(largest, 1e-6) << name << " has no gradient to check";
    reference::Doubles direction(values.size()), element(values.size());
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = PhiloxNormal(11, i);
      squares += direction[i] * direction[i];
    }
    for (double& d : direction) d /= std::sqrt(squares);
    element[static_cast<size_t>(std::max_element(grad.begin(), grad.end()) - grad.begin())] = 1.0;
    for (const reference::Doubles* along : {&direction, &element}) {
      const auto at = [&](double t) {
        for (size_t i = 0; i < values.size(); ++i) values[i] = kept[i] + t * (*along)[i];
        return reference::RegressionLoss(options, params, batches);
      };
      constexpr double h = 2e-4;
      const double near = at(h) - at(-h), far = at(2 * h) - at(-2 * h);
      values = kept;
      EXPECT_NEAR((8 * near - far) / (12 * h), Dot(grad, *along), 1e-7 * largest) << name;
    }
  }
}

TEST(RegressionGradcheck, EveryTensor) {
  for (const bool classes : {true, false}) {
    for (const double dropout : {0.0, 0.25}) {
      SCOPED_TRACE(static_cast<int>(classes) + dropout);
      ModelConfig model = TinyRegression();
      model.classes = classes ? 3 : 0;
      model.qk_norm = model.qkv_bias = dropout > 0.0;
      CheckRegression({.model = model, .dropout = {.rate = dropout, .seed = 1}},
                      {RandomSamples(model, 3), RandomSamples(model, 3, 3)});
    }
  }
}

// A point of the plane is one row.
TEST(RegressionGradcheck, SamplesOfOneRow) {
  ModelConfig model = TinyRegression();
  model.shape = {2, 1, 1};
  model.patch = 1;
  reference::Params params = RandomParams(model, DType::kF64);
  const std::vector<HostBatch> batches = {RandomSamples(model, 4)};
  const auto result = reference::RunRegression({.model = model}, params, batches);
  // There is nothing to attend to but the row itself.
  for (const char* name : {"layers.0.attention.q.weight", "layers.0.attention.k.weight"})
    for (const double g : result.grads.at(name)) ASSERT_LE(std::fabs(g), 1e-15) << name;
  EXPECT_GT(Dot(result.grads.at("layers.0.attention.v.weight"),
                result.grads.at("layers.0.attention.v.weight")),
            1e-12);
}

}  // namespace
}  // namespace tl
