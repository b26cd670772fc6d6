// SPDX-License-Identifier: Apache-2.0
// Finite differences prove the fp64 twins of the layers and of the whole model, on which every
// gradient test stands.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/gradcheck.h"
#include "tests/model/cases.h"
#include "tests/reference.h"

namespace tl {
namespace {

constexpr double kBound = 1e-7;

ModelConfig Tiny() {
  return {
      .layers = 2, .hidden = 12, .heads = 4, .kv_heads = 2, .head_dim = 4, .ffn = 10, .vocab = 11};
}

// d f / d (x + t direction) at t = 0, by central differences of fourth order.
template <class F>
double Slope(const F& f, reference::Doubles& x, const reference::Doubles& direction) {
  const reference::Doubles kept = x;
  const auto at = [&](double t) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = kept[i] + t * direction[i];
    return f();
  };
  constexpr double h = 2e-4;  // small beside the heads that q and k norms divide by
  const double near = at(h) - at(-h), far = at(2 * h) - at(-2 * h);
  x = kept;
  return (8 * near - far) / (12 * h);
}

// `coordinates` single elements (0: all) and one random direction of norm 1 for every tensor.
void Check(const reference::ModelOptions& options, const std::vector<HostBatch>& batches,
           size_t coordinates, double* worst) {
  reference::Params params = RandomParams(options.model, DType::kF64);
  const auto result = reference::RunModel(options, params, batches);
  const auto loss = [&] { return reference::ModelLoss(options, params, batches); };
  EXPECT_NEAR(result.loss, loss(), 1e-14);
  ASSERT_EQ(result.grads.size(), params.size());
  for (auto& [name, values] : params) {
    const reference::Doubles& grad = result.grads.at(name);
    ASSERT_EQ(grad.size(), values.size()) << name;
    double largest = 0.0;
    for (const double g : grad) largest = std::max(largest, std::fabs(g));
    ASSERT_GT(largest, 1e-6) << name << " has no gradient to check";
    const auto expect = [&](double slope, double analytic, const char* what) {
      const double error = std::fabs(slope - analytic) / largest;
      EXPECT_LE(error, kBound) << name << ", " << what;
      *worst = std::max(*worst, error);
    };
    reference::Doubles direction(values.size());
    const size_t n = coordinates == 0 ? values.size() : std::min(coordinates, values.size());
    for (size_t i = 0; i < n; ++i) {
      const size_t at = coordinates == 0 ? i : Philox(5, i, values.size()).w[0] % values.size();
      direction[at] = 1.0;
      expect(Slope(loss, values, direction), grad[at], "one element");
      direction[at] = 0.0;
    }
    double squares = 0.0;
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = PhiloxNormal(11, i);
      squares += direction[i] * direction[i];
    }
    for (double& d : direction) d /= std::sqrt(squares);
    expect(Slope(loss, values, direction), Dot(grad, direction), "a direction");
  }
}

// All elements of all tensors of one model with everything on.
TEST(ModelGradcheck, EveryElement) {
  ModelConfig model = Tiny();
  model.tie_embeddings = false;
  model.qkv_bias = model.qk_norm = true;
  model.sliding_window = 4;
  model.rope_scaling = {
      .factor = 4.0, .low_freq_factor = 1.0, .high_freq_factor = 4.0, .original_context = 10};
  const BatchOptions batch{
      .count = 2, .length = 7, .vocab = model.vocab, .packed = true, .masked = true};
  double worst = 0.0;
  Check({.model = model, .segments = true, .z_loss = 1e-2, .dropout = {.rate = 0.25, .seed = 1}},
        {RandomBatch(batch)}, 0, &worst);
  std::printf("worst error %.2g\n", worst);
}

// Some elements and a direction of every tensor, for every combination of options.
TEST(ModelGradcheck, EveryCombination) {
  double worst = 0.0;
  for (int bits = 0; bits < 256; ++bits) {
    const auto on = [&](int bit) { return (bits >> bit & 1) != 0; };
    SCOPED_TRACE(bits);
    ModelConfig model = Tiny();
    model.tie_embeddings = on(0);
    model.qkv_bias = on(1);
    model.qk_norm = on(2);
    model.sliding_window = on(3) ? 3 : 0;
    if (on(4)) model.rope_scaling = {.factor = 4.0, .original_context = 10};
    // Plain, grouped and multi-query attention in turn.
    model.kv_heads = int64_t{1} << (bits % 3);
    const BatchOptions batch{
        .count = 1, .length = 6, .vocab = model.vocab, .packed = on(5), .masked = on(6)};
    std::vector<HostBatch> batches{RandomBatch(batch, 3)};
    if (bits % 2 == 1) batches.push_back(RandomBatch(batch, 4));
    Check({.model = model,
           .segments = on(5),
           .z_loss = on(7) ? 1e-2 : 0.0,
           .dropout = {.rate = bits % 5 == 0 ? 0.2 : 0.0, .seed = 1}},
          batches, 1, &worst);
    if (HasFatalFailure()) return;
  }
  std::printf("worst error %.2g\n", worst);
}

// The loss scale changes nothing in fp64, and rounding to a type changes little.
TEST(ModelTwin, ScaleAndStorage) {
  const ModelConfig model = Tiny();
  const reference::Params params = RandomParams(model, DType::kBF16);
  const std::vector<HostBatch> batches{RandomBatch({.vocab = model.vocab})};
  const auto exact = reference::RunModel({.model = model}, params, batches);
  const auto scaled = reference::RunModel({.model = model, .loss_scale = 1024.0}, params, batches);
  EXPECT_EQ(scaled.loss, exact.loss);
  const auto rounded =
      reference::RunModel({.model = model, .store = {DType::kBF16}}, params, batches);
  for (const auto& [name, grad] : exact.grads) {
    double difference = 0.0, error = 0.0;
    for (size_t i = 0; i < grad.size(); ++i) {
      difference = std::max(difference, std::fabs(scaled.grads.at(name)[i] - grad[i]));
      error += std::pow(rounded.grads.at(name)[i] - grad[i], 2);
    }
    EXPECT_EQ(difference, 0.0) << name;
    EXPECT_GT(std::sqrt(error), 0.0) << name;
    EXPECT_LT(std::sqrt(error), 0.1 * std::sqrt(Dot(grad, grad))) << name;
  }
}

}  // namespace
}  // namespace tl
