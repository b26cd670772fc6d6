// SPDX-License-Identifier: Apache-2.0
// Twin of a conditioned trunk that regresses rows of values on rows of values (objective/regression
// .h), in plain fp64 loops: patches, conditioner, blocks, head and loss, forward and backward, over
// the micro-batches of a step. Proved by finite differences in
// tests/model/regression_gradcheck_test.cc.
#pragma once

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "nn/batch.h"
#include "tests/reference/block.h"
#include "tests/reference/embedding.h"
#include "tests/reference/model.h"
#include "tests/reference/modulated_norm.h"
#include "tests/reference/residual_silu.h"
#include "tests/reference/rope_table.h"
#include "tests/reference/squared_error.h"

namespace tl::reference {

// Pictures in 16 patches, for tests of what has a twin here.
inline ModelConfig SmallPictures() {
  return {.layers = 2,
          .hidden = 48,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 32,
          .ffn = 80,
          .shape = {3, 16, 16},
          .patch = 4,
          .classes = 5};
}

inline Doubles Silu(const Doubles& a) { return ResidualSilu(Doubles(a.size()), a); }

// Columns [part, part + 1) x width of every row of [batch, parts x width].
inline Doubles PartOf(const Doubles& x, size_t parts, size_t part, size_t width) {
  Doubles out;
  for (size_t row = 0; row < x.size() / (parts * width); ++row) {
    const auto begin = x.begin() + static_cast<std::ptrdiff_t>((row * parts + part) * width);
    out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(width));
  }
  return out;
}
inline void SetPart(Doubles& x, size_t parts, size_t part, size_t width, const Doubles& from) {
  for (size_t i = 0; i < from.size(); ++i)
    x[(i / width * parts + part) * width + i % width] = from[i];
}

struct ConditionerTwin {
  // Modulation of each block, [batch, 6 hidden], and of the final norm, [batch, 2 hidden].
  std::vector<Doubles> Forward(const Context& ctx, const Params& params, const HostBatch& batch) {
    const auto hidden = static_cast<size_t>(ctx.model.hidden);
    features = ctx.store(Doubles(batch.features.begin(), batch.features.end()));
    in = ctx.store(
        Linear(features, params.at("time.in.weight"), kFeatures, params.at("time.in.bias")));
    e = ctx.store(Silu(in));
    c = ctx.store(Linear(e, params.at("time.out.weight"), hidden, params.at("time.out.bias")));
    if (ctx.model.classes > 0) {
      for (const int32_t label : batch.labels)
        labels.push_back(label < 0 ? static_cast<int32_t>(ctx.model.classes) : label);
      c = ctx.store(Sum(c, Embedding(params.at("labels.weight"), labels, hidden)));
    }
    s = ctx.store(Silu(c));
    std::vector<Doubles> all;
    for (const std::string& name : Names(ctx.model))
      all.push_back(Linear(s, params.at(name + ".weight"), hidden));
    return all;
  }
  void Backward(const Context& ctx, const Params& params, Params& grads,
                const std::vector<Doubles>& d_all) const {
    const auto hidden = static_cast<size_t>(ctx.model.hidden);
    Doubles d_s(s.size());
    const std::vector<std::string> names = Names(ctx.model);
    for (size_t i = 0; i < names.size(); ++i)
      d_s = Sum(d_s, LinearGradients(grads, params, names[i], ctx.store(d_all[i]), s, hidden));
    const Doubles d_c = ctx.store(ResidualSiluBackward(ctx.store(d_s), c));
    if (ctx.model.classes > 0) {
      Doubles d_table(params.at("labels.weight").size());
      EmbeddingBackward(d_table, d_c, labels, hidden);
      AddTo(grads, "labels.weight", d_table);
    }
    const Doubles d_e = ctx.store(LinearGradients(grads, params, "time.out", d_c, e, hidden));
    const Doubles d_in = ctx.store(ResidualSiluBackward(d_e, in));
    LinearGradients(grads, params, "time.in", d_in, features, kFeatures);
  }
  static std::vector<std::string> Names(const ModelConfig& model) {
    std::vector<std::string> names;
    for (int64_t i = 0; i < model.layers; ++i)
      names.push_back("layers." + std::to_string(i) + ".modulation");
    names.emplace_back("final_modulation");
    return names;
  }

  Doubles features, in, e, c, s;
  std::vector<int32_t> labels;
};

// A norm over rows of the stream, modulated by parts of a modulation.
struct ModulatedNormTwin {
  Doubles h = {}, rstd = {}, scale = {};

  Doubles Forward(const Context& c, const Doubles& x, const Doubles& shift, Doubles scales) {
    h = x;
    scale = std::move(scales);
    auto result = ModulatedNorm(h, shift, scale, Hidden(c), Rows(c), c.model.norm_eps);
    rstd = std::move(result.rstd);
    return c.store(std::move(result.y));
  }
  // Unrounded.
  ModulatedNormGradients<double> Backward(const Context& c, const Doubles& dy) const {
    return ModulatedNormBackward(dy, h, scale, rstd, Hidden(c), Rows(c));
  }
  static size_t Hidden(const Context& c) { return static_cast<size_t>(c.model.hidden); }
  static SampleOfRow Rows(const Context& c) { return {static_cast<size_t>(c.length), 0}; }
};

// h1 = in; h2 = h1 + gate1 drop(attention(norm1(h1))); out = h2 + gate2 drop(mlp(norm2(h2))).
struct ConditionedBlockTwin {
  explicit ConditionedBlockTwin(const std::string& prefix)
      : attention(prefix + ".attention"), mlp{prefix + ".mlp"} {}

  Doubles Forward(const Context& c, const Params& params, const Doubles& h1,
                  const Doubles& modulation) {
    const size_t hidden = ModulatedNormTwin::Hidden(c);
    for (size_t k = 0; k < 6; ++k) parts[k] = PartOf(modulation, 6, k, hidden);
    const auto add = [&](const Doubles& x, const Doubles& branch, const Doubles& gate) {
      return c.store(GatedAdd(x, branch, gate, hidden, ModulatedNormTwin::Rows(c)));
    };
    a = c.Drop(attention.name + ".dropout",
               attention.Forward(c, params, norm1.Forward(c, h1, parts[0], parts[1])));
    const Doubles h2 = add(h1, a, parts[2]);
    m = c.Drop(mlp.name + ".dropout",
               mlp.Forward(c, params, norm2.Forward(c, h2, parts[3], parts[4])));
    return add(h2, m, parts[5]);
  }
  Doubles Backward(const Context& c, const Params& params, Params& grads, Doubles d,
                   Doubles* d_modulation) const {
    const size_t hidden = ModulatedNormTwin::Hidden(c);
    d_modulation->assign(6 * parts[0].size(), 0.0);
    const auto set = [&](size_t part, const Doubles& from) {
      SetPart(*d_modulation, 6, part, hidden, from);
    };
    const auto branch = [&](const std::string& name, const Doubles& residual, size_t part) {
      const auto gate = GateBackward(d, residual, parts[part], hidden, ModulatedNormTwin::Rows(c));
      set(part, gate.d_gate);
      return c.Drop(name + ".dropout", c.store(gate.d_residual));
    };
    const auto norm = [&](const ModulatedNormTwin& twin, const Doubles& dy, size_t part) {
      const auto back = twin.Backward(c, dy);
      set(part, back.d_shift);
      set(part + 1, back.d_scale);
      d = c.store(Sum(back.dx, d));
    };
    norm(norm2, mlp.Backward(c, params, grads, branch(mlp.name, m, 5)), 3);
    norm(norm1, attention.Backward(c, params, grads, branch(attention.name, a, 2)), 0);
    return d;
  }

  ModulatedNormTwin norm1, norm2;
  AttentionTwin attention;
  MlpTwin mlp;
  Doubles parts[6], a, m;
};

struct RegressionResult {
  double loss = 0.0;  // mean over the samples that count
  Params grads;
};

namespace internal {

struct RegressionPass {
  RegressionPass(const ModelOptions& options, const Params& params, const HostBatch& batch)
      : params(params),
        batch(batch),
        context{.model = options.model,
                .batch = batch.count,
                .length = batch.sequence_length,
                .positions =
                    std::vector<int32_t>(static_cast<size_t>(batch.count * batch.sequence_length)),
                .segments = {},
                .table = RopeTable(options.model, static_cast<size_t>(batch.sequence_length)),
                .store = options.store,
                .dropout = options.dropout,
                .first_sample = batch.first_sample} {
    for (size_t i = 0; i < context.positions.size(); ++i)
      context.positions[i] = static_cast<int32_t>(i % static_cast<size_t>(batch.sequence_length));
    for (int64_t i = 0; i < options.model.layers; ++i)
      blocks.emplace_back("layers." + std::to_string(i));
  }

  // The sum of the samples' losses.
  double Forward() {
    const auto hidden = static_cast<size_t>(context.model.hidden);
    values = context.store(Doubles(batch.noisy.begin(), batch.noisy.end()));
    modulation = conditioner.Forward(context, params, batch);
    Doubles h = context.store(
        Linear(values, params.at("patches.weight"), Width(), params.at("patches.bias")));
    h = context.Drop("patches.dropout", h);
    for (size_t i = 0; i < blocks.size(); ++i)
      h = blocks[i].Forward(context, params, h, modulation[i]);
    y = norm.Forward(context, h, PartOf(modulation.back(), 2, 0, hidden),
                     PartOf(modulation.back(), 2, 1, hidden));
    f = Linear(y, params.at("head.weight"), hidden, params.at("head.bias"));
    double sum = 0.0;
    for (const double loss : Error(1.0).losses) sum += loss;
    return sum;
  }

  // Of scale * the sum of losses.
  void Backward(double scale, Params& grads) const { Backward(Error(scale).dy, grads); }
  // From a gradient at f; returns that at the values.
  Doubles Backward(const Doubles& d, Params& grads) const {
    const auto hidden = static_cast<size_t>(context.model.hidden);
    const Doubles d_f = context.store(d);
    const auto back = norm.Backward(
        context, context.store(LinearGradients(grads, params, "head", d_f, y, hidden)));
    std::vector<Doubles> d_modulation(modulation.size());
    d_modulation.back().resize(modulation.back().size());
    SetPart(d_modulation.back(), 2, 0, hidden, back.d_shift);
    SetPart(d_modulation.back(), 2, 1, hidden, back.d_scale);
    Doubles d_stream = context.store(back.dx);
    for (size_t i = blocks.size(); i-- > 0;)
      d_stream = blocks[i].Backward(context, params, grads, d_stream, &d_modulation[i]);
    conditioner.Backward(context, params, grads, d_modulation);
    return LinearGradients(grads, params, "patches", context.Drop("patches.dropout", d_stream),
                           values, Width());
  }

  SquaredErrorResult<double> Error(double scale) const {
    return SquaredError(f, Doubles(batch.target.begin(), batch.target.end()),
                        Doubles(batch.weight.begin(), batch.weight.end()), scale, Width(),
                        static_cast<size_t>(batch.sequence_length), 0);
  }
  size_t Width() const { return static_cast<size_t>(context.model.patch_values()); }

  const Params& params;
  const HostBatch& batch;
  Context context;
  ConditionerTwin conditioner;
  std::vector<ConditionedBlockTwin> blocks;
  ModulatedNormTwin norm;
  std::vector<Doubles> modulation;
  Doubles values, y, f;
};

inline double Samples(absl::Span<const HostBatch> batches) {
  double samples = 0.0;
  for (const HostBatch& batch : batches) {
    for (const float weight : batch.weight) samples += weight > 0.0f;
  }
  return samples;
}

}  // namespace internal

inline double RegressionLoss(const ModelOptions& options, const Params& params,
                             absl::Span<const HostBatch> batches) {
  double sum = 0.0;
  for (const HostBatch& batch : batches)
    sum += internal::RegressionPass(options, params, batch).Forward();
  return sum / internal::Samples(batches);
}

inline RegressionResult RunRegression(const ModelOptions& options, const Params& params,
                                      absl::Span<const HostBatch> batches) {
  RegressionResult result;
  const double samples = internal::Samples(batches);
  for (const HostBatch& batch : batches) {
    internal::RegressionPass pass(options, params, batch);
    result.loss += pass.Forward() / samples;
    pass.Backward(options.loss_scale / samples, result.grads);
  }
  for (auto& [name, grad] : result.grads) {
    for (double& g : grad) g /= options.loss_scale;
  }
  return result;
}

}  // namespace tl::reference
