// SPDX-License-Identifier: Apache-2.0
// Twins of the objectives with several heads in plain fp64 loops, as one joint computation: the
// forward passes of all heads, then all backward passes. Proved by finite differences in
// tests/model/objectives_gradcheck_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "nn/batch.h"
#include "objective/independent_heads.h"
#include "objective/medusa.h"
#include "objective/sequential_mtp.h"
#include "tests/reference/block.h"
#include "tests/reference/cross_entropy.h"
#include "tests/reference/distill.h"
#include "tests/reference/embedding.h"
#include "tests/reference/residual_silu.h"
#include "tests/reference/rope_table.h"

namespace tl::reference {

struct ObjectiveOptions {
  ModelConfig model;
  ObjectiveConfig objective;
  std::vector<double> weights;  // of the heads in this step
  bool segments = false;
  DropoutConfig dropout = {};  // not of a frozen trunk
};

struct ObjectiveTotals {
  std::vector<double> losses;    // of each head: mean over its own unmasked targets
  std::vector<int64_t> targets;  // how many they are
  double loss = 0.0;             // weighted
  Params grads;
};

namespace internal {

struct ObjectivePass {
  ObjectivePass(const ObjectiveOptions& o, const Params& all, const HostBatch& host)
      : options(o),
        params(all),
        batch(host),
        c{.model = o.model,
          .batch = host.count,
          .length = host.sequence_length,
          .positions = host.positions,
          .segments = o.segments ? host.segments : std::vector<int32_t>{},
          .table = RopeTable(o.model, static_cast<size_t>(host.sequence_length)),
          .store = {},
          .dropout = o.dropout,
          .first_sample = host.first_sample},
        trunk_c(c),
        hidden(static_cast<size_t>(o.model.hidden)),
        unembedding(o.model.tie_embeddings ? "embedding.weight" : "lm_head.weight") {
    if (FreezesTrunk(o.objective)) trunk_c.dropout.rate = 0.0;
  }

  bool Distills(size_t head) const { return distill && head > 0; }
  // Without the last ones of a sequence where the main head, which is `head` tokens behind, does
  // not come to them.
  std::vector<int32_t> Targets(size_t head) const {
    const auto span = batch.targets(static_cast<int64_t>(head) + 1);
    std::vector<int32_t> targets(span.begin(), span.end());
    const auto length = static_cast<size_t>(batch.sequence_length);
    for (size_t n = 0; n < targets.size() && Distills(head); ++n) {
      if (n % length + head >= length) targets[n] = -1;
    }
    return targets;
  }
  // The main head's logits of the same tokens, row by row.
  Doubles TeacherOf(size_t head) const {
    const Doubles& z = logits[0].z;
    const auto shift = static_cast<ptrdiff_t>(head) * options.model.vocab;
    Doubles teacher(z.begin() + shift, z.end());
    teacher.resize(z.size());
    return teacher;
  }

  // A head's logits of y, their loss, and on the way back the gradient at y.
  struct Logits {
    std::string weight;
    bool trains_weight = true;
    Doubles y, z;
  };
  double Loss(size_t head, const std::string& weight, const Doubles& y, bool trains = true) {
    logits.push_back({.weight = weight,
                      .trains_weight = trains,
                      .y = y,
                      .z = Linear(y, params.at(weight), hidden)});
    double sum = 0.0;
    const auto vocab = static_cast<size_t>(options.model.vocab);
    const Doubles& z = logits.back().z;
    const std::vector<int32_t> targets = Targets(head);
    const Doubles losses = Distills(head) ? Distill(z, TeacherOf(head), targets, vocab, 1.0).loss
                                          : CrossEntropy(z, targets, vocab).loss;
    for (const double loss : losses) sum += loss;
    return sum;
  }
  Doubles LossGradient(size_t head, double scale, Params& grads) const {
    const Logits& l = logits[head];
    const auto vocab = static_cast<size_t>(options.model.vocab);
    const Doubles d_z = Distills(head)
                            ? Distill(l.z, TeacherOf(head), Targets(head), vocab, scale).d_logits
                            : CrossEntropyGrad(l.z, Targets(head), vocab, scale);
    Doubles d_y(l.y.size()), d_w(params.at(l.weight).size());
    LinearBackward(&d_y, d_w, d_z, l.y, params.at(l.weight), hidden);
    if (l.trains_weight) AddTo(grads, l.weight, d_w);
    return d_y;
  }

  std::vector<double> Forward() {
    stream = trunk_c.Drop("embedding.dropout",
                          Embedding(params.at("embedding.weight"), batch.inputs, hidden));
    const ObjectiveConfig& o = options.objective;
    for (int64_t i = 0; i < TrunkLayers(o, options.model.layers); ++i) {
      trunk.emplace_back("layers." + std::to_string(i));
      stream = trunk.back().Forward(trunk_c, params, stream);
    }
    if (o.name == "independent_heads") return ForwardHeads();
    main_y = final_norm.Forward(c, params, stream);
    std::vector<double> sums = {Loss(0, unembedding, main_y)};
    if (o.name == "medusa") ForwardMedusa(sums);
    if (o.name == "sequential_mtp") ForwardMtp(sums);
    return sums;
  }

  std::vector<double> ForwardHeads() {
    std::vector<double> sums;
    for (int64_t i = 0; i < HeadCount(options.objective); ++i) {
      blocks.emplace_back("heads." + std::to_string(i + 1));
      norms.push_back({"final_norm.weight"});
      const Doubles out = blocks.back().Forward(c, params, stream);
      sums.push_back(Loss(i, unembedding, norms.back().Forward(c, params, out)));
    }
    return sums;
  }

  void ForwardMedusa(std::vector<double>& sums) {
    const auto o = SettingsOf<MedusaSettings>(options.objective);
    for (int64_t k = 1; k <= o.heads; ++k) {
      const std::string name = "medusa." + std::to_string(k);
      std::vector<Doubles> ys = {main_y}, as;
      for (int64_t i = 0; i < o.residual_layers; ++i) {
        const std::string block = name + ".blocks." + std::to_string(i);
        as.push_back(
            Linear(ys.back(), params.at(block + ".weight"), hidden, params.at(block + ".bias")));
        ys.push_back(ResidualSilu(ys.back(), as.back()));
      }
      medusa_ys.push_back(ys);
      medusa_as.push_back(as);
      sums.push_back(Loss(k, o.own_unembedding ? name + ".lm_head.weight" : unembedding, ys.back(),
                          o.own_unembedding || !o.freeze_trunk));
    }
  }

  std::string ModuleName(int64_t k) const {
    return "mtp." + std::to_string(
                        SettingsOf<SequentialMtpSettings>(options.objective).share_weights ? 1 : k);
  }
  std::vector<int32_t> ModuleTokens(int64_t k) const {
    std::vector<int32_t> tokens = Targets(k - 1);
    for (size_t i = 0; i < tokens.size() && k == 1; ++i) {
      if (batch.positions[i] == 0) tokens[i] = -1;
    }
    return tokens;
  }
  void ForwardMtp(std::vector<double>& sums) {
    const auto o = SettingsOf<SequentialMtpSettings>(options.objective);
    Doubles h = o.hidden == HiddenTap::kStream ? stream : main_y;
    for (int64_t k = 1; k <= o.depth; ++k) {
      const std::string name = ModuleName(k);
      hidden_norms.push_back({name + ".hidden_norm.weight"});
      embedding_norms.push_back({name + ".embedding_norm.weight"});
      const Doubles a = hidden_norms.back().Forward(c, params, h);
      const Doubles b = embedding_norms.back().Forward(
          c, params, Embedding(params.at("embedding.weight"), ModuleTokens(k), hidden));
      Doubles u;
      for (size_t n = 0; n < a.size() / hidden; ++n) {
        u.insert(u.end(), a.begin() + n * hidden, a.begin() + (n + 1) * hidden);
        u.insert(u.end(), b.begin() + n * hidden, b.begin() + (n + 1) * hidden);
      }
      joined.push_back(u);
      blocks.emplace_back(name + ".block");
      norms.push_back({name + ".final_norm.weight"});
      const Doubles in = Linear(u, params.at(name + ".projection.weight"), 2 * hidden);
      h = norms.back().Forward(c, params, blocks.back().Forward(c, params, in));
      sums.push_back(Loss(k, unembedding, h, !o.detach_shared && !o.freeze_trunk));
    }
  }

  // scales[i]: of head i's sum of losses.
  void Backward(const std::vector<double>& scales, Params& grads) {
    const ObjectiveConfig& o = options.objective;
    std::vector<Doubles> d_y;
    for (size_t i = 0; i < logits.size(); ++i) {
      // A frozen trunk's own loss has no gradient.
      const bool frozen_main = i == 0 && FreezesTrunk(o);
      d_y.push_back(frozen_main ? Doubles(main_y.size()) : LossGradient(i, scales[i], grads));
    }
    Doubles d(stream.size());
    if (o.name == "independent_heads") {
      for (size_t i = 0; i < blocks.size(); ++i) {
        const Doubles d_out = norms[i].Backward(params, grads, d_y[i]);
        d = Sum(d, blocks[i].Backward(c, params, grads, d_out));
      }
    } else {
      if (o.name == "medusa") BackwardMedusa(d_y, grads);
      if (o.name == "sequential_mtp") d = BackwardMtp(d_y, grads);
      if (FreezesTrunk(o)) return;
      d = Sum(d, final_norm.Backward(params, grads, d_y[0]));
    }
    for (auto block = trunk.rbegin(); block != trunk.rend(); ++block)
      d = block->Backward(trunk_c, params, grads, d);
    d = trunk_c.Drop("embedding.dropout", d);
    Doubles d_table(params.at("embedding.weight").size());
    EmbeddingBackward(d_table, d, batch.inputs, hidden);
    AddTo(grads, "embedding.weight", d_table);
  }

  void BackwardMedusa(std::vector<Doubles>& d_y, Params& grads) const {
    for (size_t k = 1; k < d_y.size(); ++k) {
      Doubles d = d_y[k];
      const auto& as = medusa_as[k - 1];
      for (size_t i = as.size(); i-- > 0;) {
        const std::string block = "medusa." + std::to_string(k) + ".blocks." + std::to_string(i);
        const Doubles d_a = ResidualSiluBackward(d, as[i]);
        d = Sum(d, LinearGradients(grads, params, block, d_a, medusa_ys[k - 1][i], hidden));
      }
      d_y[0] = Sum(d_y[0], d);
    }
  }

  // Adds to d_y[0], or returns what goes to the stream.
  Doubles BackwardMtp(std::vector<Doubles>& d_y, Params& grads) const {
    const auto o = SettingsOf<SequentialMtpSettings>(options.objective);
    Doubles to_stream(stream.size());
    for (int64_t k = o.depth; k >= 1; --k) {
      Doubles d = norms[k - 1].Backward(params, grads, d_y[k]);
      d = blocks[k - 1].Backward(c, params, grads, d);
      const Doubles d_u = LinearGradients(grads, params, ModuleName(k) + ".projection", d,
                                          joined[k - 1], 2 * hidden);
      Doubles d_a, d_b;
      for (size_t n = 0; n < d_u.size() / (2 * hidden); ++n) {
        const auto row = d_u.begin() + 2 * n * hidden;
        d_a.insert(d_a.end(), row, row + hidden);
        d_b.insert(d_b.end(), row + hidden, row + 2 * hidden);
      }
      const Doubles d_hidden = hidden_norms[k - 1].Backward(params, grads, d_a);
      const Doubles d_embedded = embedding_norms[k - 1].Backward(params, grads, d_b);
      if (k > 1) {
        d_y[k - 1] = Sum(d_y[k - 1], d_hidden);
      } else if (!o.detach_hidden && o.hidden == HiddenTap::kStream) {
        to_stream = d_hidden;
      } else if (!o.detach_hidden) {
        d_y[0] = Sum(d_y[0], d_hidden);
      }
      if (o.detach_shared || o.freeze_trunk) continue;
      Doubles d_table(params.at("embedding.weight").size());
      EmbeddingBackward(d_table, d_embedded, ModuleTokens(k), hidden);
      AddTo(grads, "embedding.weight", d_table);
    }
    return to_stream;
  }

  const ObjectiveOptions& options;
  bool distill = SettingsOf<MedusaSettings>(options.objective).distill;
  const Params& params;
  const HostBatch& batch;
  Context c, trunk_c;
  size_t hidden;
  std::string unembedding;
  std::vector<BlockTwin> trunk, blocks;
  std::vector<NormTwin> norms, hidden_norms, embedding_norms;
  NormTwin final_norm{"final_norm.weight"};
  std::vector<Logits> logits;
  Doubles stream, main_y;
  std::vector<std::vector<Doubles>> medusa_ys, medusa_as;
  std::vector<Doubles> joined;
};

}  // namespace internal

// with_gradients: of the weighted loss.
inline ObjectiveTotals RunObjective(const ObjectiveOptions& options, const Params& params,
                                    absl::Span<const HostBatch> batches, bool with_gradients) {
  ObjectiveTotals totals;
  const auto heads = static_cast<size_t>(HeadCount(options.objective));
  std::vector<double> counts(heads), scales(heads);
  totals.targets.resize(heads);
  for (const HostBatch& batch : batches) {
    const internal::ObjectivePass pass(options, params, batch);
    for (size_t i = 0; i < heads; ++i) {
      for (const int32_t target : pass.Targets(i)) totals.targets[i] += target >= 0;
    }
  }
  for (size_t i = 0; i < heads; ++i) {
    counts[i] = static_cast<double>(totals.targets[i]);
    scales[i] = options.weights[i] / counts[i];
  }
  totals.losses.resize(heads);
  for (const HostBatch& batch : batches) {
    internal::ObjectivePass pass(options, params, batch);
    const std::vector<double> sums = pass.Forward();
    for (size_t i = 0; i < heads; ++i) {
      totals.losses[i] += sums[i] / counts[i];
      totals.loss += scales[i] * sums[i];
    }
    if (with_gradients) pass.Backward(scales, totals.grads);
  }
  return totals;
}

}  // namespace tl::reference
