// SPDX-License-Identifier: Apache-2.0
// Finite differences prove the fp64 twins of the objectives with several heads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/gradcheck.h"
#include "tests/model/objective_cases.h"

namespace tl {
namespace {

class ObjectiveGradcheck : public testing::TestWithParam<ObjectiveCase> {};

// Three elements and a random direction of every tensor.
TEST_P(ObjectiveGradcheck, Twin) {
  ModelConfig model = {
      .layers = 2, .hidden = 12, .heads = 2, .kv_heads = 1, .head_dim = 6, .ffn = 10, .vocab = 11};
  model.tie_embeddings = GetParam().tied;
  const ObjectiveConfig& objective = GetParam().objective;
  const int heads = HeadCount(objective);
  reference::ObjectiveOptions options = {.model = model,
                                         .objective = objective,
                                         .weights = {},
                                         .segments = true,
                                         .dropout = {.rate = 0.2, .seed = 1}};
  for (int i = 0; i < heads; ++i) options.weights.push_back(1.0 / (1 + i));
  if (FreezesTrunk(objective)) options.weights[0] = 0.0;
  const BatchOptions batch{
      .count = 2, .length = 9, .vocab = model.vocab, .packed = true, .lookahead = heads};
  const std::vector<HostBatch> batches{RandomBatch(batch), RandomBatch(batch, 2)};
  reference::Params params = RandomParams(model, DType::kF64, objective);
  const auto result = reference::RunObjective(options, params, batches, true);
  // Where the twin leaves out gradients on purpose, differences would see them: of what is
  // detached, and of a teacher that is trained itself.
  const auto mtp = SettingsOf<SequentialMtpSettings>(objective);
  const auto medusa = SettingsOf<MedusaSettings>(objective);
  const bool detached =
      mtp.detach_hidden || mtp.detach_shared || (medusa.distill && !medusa.freeze_trunk);
  for (auto& [name, values] : params) {
    if (result.grads.count(name) == 0) {
      EXPECT_TRUE(FreezesTrunk(objective)) << name << " has no gradient";
      continue;
    }
    if (detached && name.rfind("mtp.", 0) != 0 && name.rfind("medusa.", 0) != 0) continue;
    const reference::Doubles& grad = result.grads.at(name);
    double largest = 1e-3;
    for (const double g : grad) largest = std::max(largest, std::fabs(g));
    const auto slope = [&](const reference::Doubles& direction) {
      const reference::Doubles kept = values;
      const auto at = [&](double t) {
        for (size_t i = 0; i < values.size(); ++i) values[i] = kept[i] + t * direction[i];
        return reference::RunObjective(options, params, batches, false).loss;
      };
      constexpr double h = 2e-4;
      const double near = at(h) - at(-h), far = at(2 * h) - at(-2 * h);
      values = kept;
      return (8 * near - far) / (12 * h);
    };
    reference::Doubles direction(values.size());
    for (uint64_t i = 0; i < 3; ++i) {
      const size_t at = Philox(5, i, values.size()).w[0] % values.size();
      direction[at] = 1.0;
      EXPECT_NEAR(slope(direction), grad[at], 1e-7 * largest) << name << " " << at;
      direction[at] = 0.0;
    }
    for (size_t i = 0; i < direction.size(); ++i)
      direction[i] = PhiloxNormal(11, i) / std::sqrt(static_cast<double>(direction.size()));
    EXPECT_NEAR(slope(direction), Dot(grad, direction), 1e-7 * largest) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ObjectiveGradcheck, testing::ValuesIn(ObjectiveCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tl
