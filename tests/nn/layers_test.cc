// SPDX-License-Identifier: Apache-2.0
// Every layer by itself against its fp64 twin, forward and backward, over NaN-poisoned memory.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "nn/block.h"
#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/lm_loss.h"
#include "tests/kernels/kernel_test.h"
#include "tests/model/cases.h"
#include "tests/nn/layer_rig.h"
#include "tests/reference.h"

namespace tl {
namespace {

constexpr int64_t kBatch = 2, kLength = 9, kRows = kBatch * kLength, kHidden = 40;
constexpr double kTolerance = 1e-5;

double Error(const Doubles& a, const Doubles& b) {
  double error = 0.0, size = 0.0;
  for (size_t i = 0; i < b.size(); ++i) {
    error += (a.at(i) - b[i]) * (a.at(i) - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(error / size);
}

void ExpectGrads(const LayerRig& rig, const reference::Params& expected) {
  const reference::Params grads = rig.Grads();
  EXPECT_EQ(grads.size(), expected.size());
  for (const auto& [name, grad] : expected) {
    ASSERT_EQ(grads.count(name), 1u) << name;
    EXPECT_LE(Error(grads.at(name), grad), kTolerance) << name;
  }
}

// The inputs of a pass and of every layer: x enters, dy comes back.
struct Fixture {
  Fixture() {
    model.layers = 1;
    model.hidden = kHidden;
    model.heads = 4;
    model.kv_heads = 2;
    model.head_dim = 32;
    model.ffn = 56;
    model.vocab = 29;
  }

  void Prepare() {
    params = RandomParams(model);
    host = RandomBatch({.count = kBatch,
                        .length = kLength,
                        .vocab = model.vocab,
                        .packed = packed,
                        .masked = true});
    context = {.model = model,
               .batch = kBatch,
               .length = kLength,
               .positions = host.positions,
               .segments = packed ? host.segments : std::vector<int32_t>{},
               .table = reference::RopeTable(model, kLength),
               .store = {}};
    table.assign(context.table.begin(), context.table.end());
    context.dropout = dropout;
    context.first_sample = mode.first_sample;
    inputs.batch = kBatch;
    inputs.sequence_length = kLength;
    inputs.tokens = Tensor::Of(host.inputs.data(), {kRows});
    inputs.targets = Tensor::Of(host.targets_storage.data(), {1, kRows});
    inputs.positions = Tensor::Of(host.positions.data(), {kRows});
    if (packed) inputs.segments = Tensor::Of(host.segments.data(), {kBatch, kLength});
  }
  Tensor Rope() { return Tensor::Of(table.data(), {kLength, 2, model.head_dim / 2}); }
  AttentionConfig Attention() const {
    return {.name = "layers.0.attention",
            .hidden = kHidden,
            .heads = model.heads,
            .kv_heads = model.kv_heads,
            .head_dim = model.head_dim,
            .qkv_bias = model.qkv_bias,
            .qk_norm = model.qk_norm,
            .norm_eps = model.norm_eps,
            .window = model.sliding_window};
  }
  LmLossArgs Loss(Tensor d_y) {
    return {.y = x,
            .d_y = d_y,
            .targets = inputs.Targets(1),
            .losses = losses,
            .greedy = greedy,
            .rank = rank,
            .grad_scale = &grad_scale};
  }
  reference::Params Only(const std::string& prefix) const {
    reference::Params some;
    for (const auto& [name, values] : params) {
      if (name.rfind(prefix, 0) == 0) some[name] = values;
    }
    return some;
  }

  ModelConfig model;
  bool packed = false;
  DropoutConfig dropout;
  Geometry geometry{.batch = kBatch, .sequence_length = kLength};
  reference::Params params;
  HostBatch host;
  reference::Context context;
  std::vector<float> table;
  Inputs inputs;
  Training mode{.first_sample = 5};
  Owned losses{DType::kF32, {kRows}};
  Owned greedy{DType::kI32, {kRows}}, rank{DType::kI32, {kRows}};
  float grad_scale = 0.125f;
  Doubles x_values = Normals(DType::kF32, kRows* kHidden, 1);
  Doubles dy_values = Normals(DType::kF32, kRows* kHidden, 2);
  Owned x{DType::kF32, {kRows, kHidden}, x_values}, dy{DType::kF32, {kRows, kHidden}, dy_values};
  Owned y{DType::kF32, {kRows, kHidden}}, dx{DType::kF32, {kRows, kHidden}};
};

TEST(Layers, Norm) {
  Fixture f;
  f.Prepare();
  const std::string name = "final_norm.weight";
  Norm norm(name, kHidden, f.model.norm_eps);
  LayerRig rig(f.geometry, [&](Plan& plan) { norm.Declare(plan, kRows, 0, TensorReduce::kNone); });
  rig.SetWeights(f.params);
  const Owned sum(DType::kF32, {kRows, kHidden});
  rig.Run(f.inputs, f.mode, [&](Step& step) {
    norm.Forward(step, f.y, sum, f.x, f.dy);
    norm.Backward(step, f.dx, f.dy, sum, f.x);
  });
  reference::NormTwin twin{name};
  reference::Params grads;
  const Doubles h = reference::Sum(f.x_values, f.dy_values);
  EXPECT_LE(Error(f.y.Get(), twin.Forward(f.context, f.params, h)), kTolerance);
  EXPECT_LE(Error(sum.Get(), h), kTolerance);
  const Doubles dx = reference::Sum(twin.Backward(f.params, grads, f.dy_values), f.x_values);
  EXPECT_LE(Error(f.dx.Get(), dx), kTolerance);
  ExpectGrads(rig, grads);
}

TEST(Layers, LinearWithBias) {
  Fixture f;
  f.Prepare();
  constexpr int64_t kOut = 24;
  reference::Params params = {{"l.weight", Normals(DType::kF32, kOut * kHidden, 3)},
                              {"l.bias", Normals(DType::kF32, kOut, 4)}};
  const ParamSpec weight{.name = "l.weight",
                         .parts = {{.name = "l.weight", .shape = {kOut, kHidden}}}};
  const ParamSpec bias{.name = "l.bias",
                       .parts = {{.name = "l.bias", .shape = {kOut}}},
                       .init = InitKind::kZeros,
                       .kind = ParamKind::kBias};
  Linear linear;
  LayerRig rig(f.geometry, [&](Plan& plan) { linear.Declare(plan, weight, bias); });
  rig.SetWeights(params);
  const Doubles dy_values = Normals(DType::kF32, kRows * kOut, 5);
  const Owned y(DType::kF32, {kRows, kOut}), dy(DType::kF32, {kRows, kOut}, dy_values);
  rig.Run(f.inputs, f.mode, [&](Step& step) {
    linear.Forward(step, y, f.x);
    linear.Backward(step, f.dx, dy, f.x);
  });
  reference::Params grads;
  EXPECT_LE(
      Error(y.Get(), reference::Linear(f.x_values, params["l.weight"], kHidden, params["l.bias"])),
      kTolerance);
  EXPECT_LE(Error(f.dx.Get(),
                  reference::LinearGradients(grads, params, "l", dy_values, f.x_values, kHidden)),
            kTolerance);
  ExpectGrads(rig, grads);
}

void CheckAttention(Fixture& f) {
  f.Prepare();
  SelfAttention attention(f.Attention(), f.geometry);
  LayerRig rig(f.geometry, [&](Plan& plan) { attention.Declare(plan); });
  rig.SetWeights(f.params);
  rig.Run(f.inputs, f.mode, [&](Step& step) {
    attention.Forward(step, f.y, f.x, f.Rope());
    attention.Backward(step, f.dx, f.dy, f.x, f.Rope());
  });
  reference::AttentionTwin twin("layers.0.attention");
  reference::Params grads;
  EXPECT_LE(Error(f.y.Get(), twin.Forward(f.context, f.params, f.x_values)), kTolerance);
  EXPECT_LE(Error(f.dx.Get(), twin.Backward(f.context, f.params, grads, f.dy_values)), kTolerance);
  EXPECT_EQ(grads.size(), f.Only("layers.0.attention.").size());
  ExpectGrads(rig, grads);
}

TEST(Layers, Attention) {
  for (int bits = 0; bits < 16; ++bits) {
    SCOPED_TRACE(bits);
    Fixture f;
    f.model.qkv_bias = (bits & 1) != 0;
    f.model.qk_norm = (bits & 2) != 0;
    f.model.sliding_window = (bits & 4) != 0 ? 3 : 0;
    f.packed = (bits & 8) != 0;
    f.model.kv_heads = int64_t{1} << (bits % 3);
    CheckAttention(f);
  }
}

TEST(Layers, Mlp) {
  for (const bool recompute : {false, true}) {
    Fixture f;
    f.Prepare();
    Mlp mlp({.name = "layers.0.mlp",
             .hidden = kHidden,
             .ffn = f.model.ffn,
             .recompute_activation = recompute},
            f.geometry);
    LayerRig rig(f.geometry, [&](Plan& plan) { mlp.Declare(plan); });
    rig.SetWeights(f.params);
    rig.Run(f.inputs, f.mode, [&](Step& step) {
      mlp.Forward(step, f.y, f.x);
      mlp.Backward(step, f.dx, f.dy, f.x);
    });
    reference::MlpTwin twin{"layers.0.mlp"};
    reference::Params grads;
    EXPECT_LE(Error(f.y.Get(), twin.Forward(f.context, f.params, f.x_values)), kTolerance);
    EXPECT_LE(Error(f.dx.Get(), twin.Backward(f.context, f.params, grads, f.dy_values)),
              kTolerance);
    ExpectGrads(rig, grads);
  }
}

TEST(Layers, Block) {
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    for (const bool has_delta : {false, true}) {
      SCOPED_TRACE(static_cast<int>(recompute) * 2 + has_delta);
      Fixture f;
      if (has_delta) f.dropout = {.rate = 0.3, .seed = 8};
      f.model.qkv_bias = f.model.qk_norm = true;
      f.Prepare();
      Block block({.name = "layers.0",
                   .attention = f.Attention(),
                   .mlp = {.name = "layers.0.mlp",
                           .hidden = kHidden,
                           .ffn = f.model.ffn,
                           .recompute_activation = recompute == Recompute::kSelective},
                   .norm_eps = f.model.norm_eps,
                   .recompute = recompute,
                   .dropout = f.dropout},
                  f.geometry);
      SlotId h = -1, delta = -1;
      LayerRig rig(f.geometry, [&](Plan& plan) {
        h = plan.Slot("h", {kRows, kHidden}, DType::kF32, Life::kSaved);
        delta = plan.Slot("delta", {kRows, kHidden}, DType::kF32, Life::kSaved);
        block.Declare(plan, recompute == Recompute::kFull ? h : -1, delta, has_delta);
      });
      rig.SetWeights(f.params);
      const Doubles more = Normals(DType::kF32, kRows * kHidden, 6);
      Doubles y;
      rig.Run(f.inputs, f.mode, [&](Step& step) {
        Residual in{.h = f.x, .delta = {}};
        if (has_delta) {
          in = {step.Slot(h), step.Slot(delta)};
          for (int64_t i = 0; i < kRows * kHidden; ++i) {
            in.h.as<float>()[i] = static_cast<float>(f.x_values[i]);
            in.delta.as<float>()[i] = static_cast<float>(more[i]);
          }
        }
        const Residual out = block.Forward(step, in, f.Rope());
        for (int64_t i = 0; i < kRows * kHidden; ++i)
          y.push_back(out.h.as<float>()[i] + out.delta.as<float>()[i]);
        f.dx.Set(f.dy_values);
        block.Backward(step, f.dx, f.Rope());
      });
      reference::BlockTwin twin("layers.0");
      reference::Params grads;
      const Doubles in = has_delta ? reference::Sum(f.x_values, more) : f.x_values;
      EXPECT_LE(Error(y, twin.Forward(f.context, f.params, in)), kTolerance);
      EXPECT_LE(Error(f.dx.Get(), twin.Backward(f.context, f.params, grads, f.dy_values)),
                kTolerance);
      EXPECT_EQ(grads.size(), f.Only("layers.0.").size());
      ExpectGrads(rig, grads);
    }
  }
}

TEST(Layers, Embedding) {
  Fixture f;
  f.Prepare();
  TokenEmbedding embedding(VocabularySpec("embedding.weight", f.model.vocab, kHidden, 0.02),
                           f.geometry);
  LayerRig rig(f.geometry, [&](Plan& plan) { embedding.Declare(plan); });
  rig.SetWeights(f.params);
  rig.Run(f.inputs, f.mode, [&](Step& step) {
    embedding.Forward(step, f.y);
    embedding.Backward(step, f.dy);
  });
  const Doubles& w = f.params.at("embedding.weight");
  EXPECT_EQ(f.y.Get(), reference::Embedding(w, f.host.inputs, kHidden));
  reference::Params grads{{"embedding.weight", Doubles(w.size())}};
  reference::EmbeddingBackward(grads["embedding.weight"], f.dy_values, f.host.inputs, kHidden);
  ExpectGrads(rig, grads);
}

TEST(Layers, LossInChunks) {
  for (const int64_t chunk : {0, 1, 5, 9, 18, 100}) {
    for (const double z_loss : {0.0, 1e-2}) {
      SCOPED_TRACE(chunk);
      Fixture f;
      f.Prepare();
      LmLoss loss({.weight = VocabularySpec("embedding.weight", f.model.vocab, kHidden, 0.02),
                   .chunk = chunk,
                   .z_loss = z_loss},
                  f.geometry);
      EXPECT_EQ(loss.chunk(), chunk == 0 ? kRows : std::min(chunk, kRows));
      LayerRig rig(f.geometry, [&](Plan& plan) { loss.Declare(plan); });
      rig.SetWeights(f.params);
      rig.Run(f.inputs, f.mode, [&](Step& step) { loss.Run(step, f.Loss(f.dx)); });
      const auto vocab = static_cast<size_t>(f.model.vocab);
      const Doubles& w = f.params.at("embedding.weight");
      const Doubles logits = reference::Linear(f.x_values, w, kHidden);
      const auto& targets = f.host.targets_storage;
      const auto twin = reference::CrossEntropy(logits, targets, vocab, z_loss);
      EXPECT_LE(Error(f.losses.Get(), twin.loss), kTolerance);
      for (size_t i = 0; i < targets.size(); ++i) {
        if (targets[i] < 0) {
          EXPECT_EQ(f.losses.Get()[i], 0.0) << "a masked target's loss";
        }
      }
      const Doubles d_logits = reference::CrossEntropyGrad(logits, targets, vocab, 0.125, z_loss);
      Doubles dx(f.x_values.size());
      reference::Params grads{{"embedding.weight", Doubles(w.size())}};
      reference::LinearBackward(&dx, grads["embedding.weight"], d_logits, f.x_values, w, kHidden);
      EXPECT_LE(Error(f.dx.Get(), dx), kTolerance);
      ExpectGrads(rig, grads);
    }
  }
}

// Evaluating reports the cross-entropy without the z-loss and asks for no gradient.
TEST(Layers, LossWithoutGradient) {
  Fixture f;
  f.Prepare();
  LmLoss loss({.weight = VocabularySpec("embedding.weight", f.model.vocab, kHidden, 0.02),
               .chunk = 4,
               .z_loss = 0.5},
              f.geometry);
  LayerRig rig(f.geometry, [&](Plan& plan) { loss.Declare(plan); });
  rig.SetWeights(f.params);
  rig.Evaluate(f.inputs, [&](Step& step) { loss.Run(step, f.Loss({})); });
  const Doubles logits = reference::Linear(f.x_values, f.params.at("embedding.weight"), kHidden);
  const auto twin =
      reference::CrossEntropy(logits, f.host.targets_storage, static_cast<size_t>(f.model.vocab));
  EXPECT_LE(Error(f.losses.Get(), twin.loss), kTolerance);
}

}  // namespace
}  // namespace tl
