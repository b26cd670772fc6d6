// SPDX-License-Identifier: Apache-2.0
// An objective that reads the stream between blocks and sends gradients there, over a stem of its
// own: values, gradients and memory. The twin is proved by finite differences.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/decode_passes.h"
#include "engine/engine.h"
#include "nn/norm.h"
#include "tests/engine/rig.h"
#include "tests/gradcheck.h"
#include "tests/reference.h"

namespace tl {
namespace {

using reference::Doubles;
using reference::Params;
using Values = std::vector<std::vector<float>>;

constexpr int64_t kBatch = 2, kLength = 8;
constexpr float kScale = 0.5f;

ModelConfig ThreeLayers() {
  ModelConfig model = SmallModel();
  model.layers = 3;
  return model;
}

// Rows of a table by their position; tokens are not looked at.
class PlaceStem : public Stem {
 public:
  PlaceStem(int64_t hidden, Geometry geometry)
      : table_(VocabularySpec("places.weight", kLength, hidden, 0.02), geometry) {}
  void Declare(Plan& plan) override { table_.Declare(plan); }
  void Forward(Step& step, Tensor x) override { table_.Forward(step, x, step.inputs().positions); }
  void Backward(Step& step, Tensor dx) override {
    table_.Backward(step, dx, step.inputs().positions);
  }

 private:
  TokenEmbedding table_;
};

constexpr MeasureKind kShare = {.name = "share", .title = "share of the trunk's end"};

// loss = sum over taps and the trunk's end of |norm_k(x_k)|^2 / 2.
class TapObjective : public Objective {
 public:
  // asks: else all is as if it tapped, but it does not.
  TapObjective(const ObjectiveContext& context, std::vector<TapSpec> specs, bool asks, bool frozen,
               Values* seen)
      : Objective(context), specs_(std::move(specs)), asks_(asks), frozen_(frozen), seen_(seen) {
    for (size_t k = 0; k <= specs_.size(); ++k)
      norms_.emplace_back("tap." + std::to_string(k) + ".weight", context.hidden, context.norm_eps);
  }
  std::unique_ptr<Stem> MakeStem() const override {
    return std::make_unique<PlaceStem>(context_.hidden, context_.geometry);
  }
  bool freezes_trunk() const override { return frozen_; }
  std::vector<TapSpec> taps() const override { return asks_ ? specs_ : std::vector<TapSpec>(); }
  std::vector<std::string> heads() const override { return {"taps"}; }
  int lookahead() const override { return 0; }
  int64_t Count(const HostBatch& batch, int) const override { return batch.count; }
  HeadResult Result(int, const std::array<double, kHeadSums>& sums) const override {
    return {.name = "taps",
            .targets = static_cast<int64_t>(sums[1]),
            .loss = sums[0] / sums[1],
            .measures = {{&kShare, sums[2] / sums[0], static_cast<int64_t>(sums[1])}}};
  }
  double Weight(int, int64_t, int64_t) const override { return 1.0; }
  int64_t local_vocab() const override { return 1; }

  void Declare(Plan& plan) override {
    const Geometry& g = context_.geometry;
    const auto slot = [&](const char* name) {
      return plan.Slot(name, {g.local_rows(), context_.hidden}, g.compute, Life::kSaved);
    };
    sum_ = slot("sum");
    dy_ = slot("dy");
    dx_ = slot("dx");
    for (Norm& norm : norms_) {
      norm.Declare(plan, g.local_rows(), 0, TensorReduce::kNone);
      ys_.push_back(slot("y"));
    }
  }

  void Run(Step& step, const Taps& taps) override {
    See(taps);
    std::vector<Tap> inputs = taps.inputs;
    for (size_t k = 0; k < inputs.size(); ++k)
      norms_[k].Forward(step, step.Slot(ys_[k]), inputs[k].x);
    inputs.push_back({.x = step.Slot(sum_), .d = taps.d_out});
    norms_.back().Forward(step, step.Slot(ys_.back()), step.Slot(sum_), taps.out.h, taps.out.delta);
    double* sums = step.head_sums().as<double>();
    sums[1] += static_cast<double>(step.inputs().batch);
    for (const SlotId id : ys_) {
      const Tensor y = step.Slot(id);
      for (int64_t i = 0; i < y.elements(); ++i) {
        const double part = 0.5 * y.as<float>()[i] * y.as<float>()[i];
        sums[0] += part;
        if (id == ys_.back()) sums[2] += part;
      }
    }
    if (step.training() == nullptr) return;
    const Tensor dy = step.Slot(dy_);
    for (size_t k = 0; k < inputs.size(); ++k) {
      const Tensor y = step.Slot(ys_[k]);
      for (int64_t i = 0; i < y.elements(); ++i)
        dy.as<float>()[i] = step.training()->scalars->grad_scale[0] * y.as<float>()[i];
      norms_[k].Backward(step, inputs[k].d ? inputs[k].d : step.Slot(dx_), dy, inputs[k].x, {});
    }
  }
  void Logits(Step&, const Taps& taps, int64_t, Tensor) override { See(taps); }

 private:
  // Empty where there is nothing.
  void See(const Taps& taps) {
    seen_->clear();
    for (const Tap& tap : taps.inputs) {
      const float* x = tap.x.as<float>();
      seen_->emplace_back(x, x + (tap.x ? tap.x.elements() : 0));
    }
  }

  std::vector<TapSpec> specs_;
  bool asks_;
  bool frozen_;
  Values* seen_;
  std::vector<Norm> norms_;
  std::vector<SlotId> ys_;
  SlotId sum_ = -1, dy_ = -1, dx_ = -1;
};

const std::vector<TapSpec> kAllSend = {
    {.block = 2, .gradient = true}, {.block = 0, .gradient = true}, {.block = 1, .gradient = true}};
const std::vector<TapSpec> kOneSends = {{.block = 0}, {.block = 1, .gradient = true}, {.block = 2}};

Params RandomTapParams(const ModelConfig& model, DType dtype) {
  Params params = RandomParams(model, dtype);
  params.erase("embedding.weight");
  params.erase("final_norm.weight");
  const reference::Storage store{dtype};
  const auto add = [&](const std::string& name, int64_t size, double mean) {
    for (int64_t i = 0; i < size; ++i)
      params[name].push_back(
          store(mean + 0.3 * PhiloxNormal(HashName(name.data(), name.size(), 3), i)));
  };
  add("places.weight", kLength * model.hidden, 0.0);
  for (int k = 0; k < 4; ++k) add("tap." + std::to_string(k) + ".weight", model.hidden, 1.0);
  return params;
}

HostBatch Batch() {
  return RandomBatch(
      {.count = kBatch, .length = kLength, .vocab = ThreeLayers().vocab, .lookahead = 0}, 3);
}

struct TwinResult {
  double loss = 0.0;
  Params grads;
};

TwinResult RunTwin(const ModelConfig& model, const std::vector<TapSpec>& specs,
                   const Params& params, const DropoutConfig& dropout, bool frozen) {
  const HostBatch batch = Batch();
  const auto hidden = static_cast<size_t>(model.hidden);
  const reference::Context c{.model = model,
                             .batch = kBatch,
                             .length = kLength,
                             .positions = batch.positions,
                             .segments = {},
                             .table = reference::RopeTable(model, kLength),
                             .store = {},
                             .dropout = dropout,
                             .first_sample = batch.first_sample};
  TwinResult result;
  std::vector<reference::BlockTwin> blocks;
  std::vector<reference::NormTwin> norms;
  std::vector<Doubles> ys(specs.size() + 1);
  for (size_t k = 0; k < ys.size(); ++k) norms.push_back({"tap." + std::to_string(k) + ".weight"});
  const auto read = [&](size_t k, const Doubles& x) {
    ys[k] = norms[k].Forward(c, params, x);
    result.loss += 0.5 * Dot(ys[k], ys[k]);
  };
  Doubles x = reference::Embedding(params.at("places.weight"), batch.positions, hidden);
  for (int64_t i = 0; i < model.layers; ++i) {
    for (size_t k = 0; k < specs.size(); ++k) {
      if (specs[k].block == i) read(k, x);
    }
    blocks.emplace_back("layers." + std::to_string(i));
    x = blocks.back().Forward(c, params, x);
  }
  read(specs.size(), x);
  const auto back = [&](size_t k) {
    Doubles dy = ys[k];
    for (double& d : dy) d *= kScale;
    return norms[k].Backward(params, result.grads, dy);
  };
  Doubles d = back(specs.size());
  for (int64_t i = model.layers - 1; i >= 0; --i) {
    if (!frozen) d = blocks[static_cast<size_t>(i)].Backward(c, params, result.grads, d);
    for (size_t k = 0; k < specs.size(); ++k) {
      if (specs[k].block != i) continue;
      const Doubles more = back(k);
      if (specs[k].gradient) d = reference::Sum(d, more);
    }
  }
  if (frozen) return result;
  Doubles d_table(params.at("places.weight").size());
  reference::EmbeddingBackward(d_table, d, batch.positions, hidden);
  reference::AddTo(result.grads, "places.weight", d_table);
  return result;
}

TEST(Taps, FiniteDifferencesProveTheTwin) {
  const ModelConfig model = {
      .layers = 3, .hidden = 12, .heads = 2, .kv_heads = 1, .head_dim = 6, .ffn = 10, .vocab = 67};
  Params params = RandomTapParams(model, DType::kF64);
  const DropoutConfig dropout{.rate = 0.2, .seed = 1};
  const TwinResult twin = RunTwin(model, kAllSend, params, dropout, false);
  ASSERT_EQ(twin.grads.size(), params.size());
  for (auto& [name, values] : params) {
    const Doubles kept = values, &grad = twin.grads.at(name);
    Doubles direction(values.size());
    for (size_t i = 0; i < direction.size(); ++i) direction[i] = PhiloxNormal(11, i);
    const auto at = [&](double t) {
      for (size_t i = 0; i < values.size(); ++i) values[i] = kept[i] + t * direction[i];
      return kScale * RunTwin(model, kAllSend, params, dropout, false).loss;
    };
    constexpr double h = 2e-5;
    const double near = at(h) - at(-h), far = at(2 * h) - at(-2 * h);
    values = kept;
    const double size = std::sqrt(Dot(grad, grad) * Dot(direction, direction));
    EXPECT_GT(size, 1e-3) << name << " has no gradient to check";
    EXPECT_NEAR((8 * near - far) / (12 * h), Dot(grad, direction), 1e-8 * size) << name;
  }
}

struct Tapped {
  Tapped(const std::vector<TapSpec>& specs, Recompute recompute, Plan::Purpose purpose,
         bool frozen = false, double dropout = 0.0, bool asks = true)
      : world(MakeSelfCommunicator()), mesh(Mesh::Create(*world, 1).value()) {
    ModelOptions options;
    options.model = ThreeLayers();
    options.batch = kBatch;
    options.sequence_length = kLength;
    options.blocks = {.recompute = recompute, .dropout = {.rate = dropout, .seed = 1}};
    options.bucket_elements = 4096;
    options.purpose = purpose;
    options.make_objective = [=, this](const ObjectiveConfig&, const ObjectiveContext& context) {
      return std::make_unique<TapObjective>(context, specs, asks, frozen, &seen);
    };
    model = Model::Declare(options, mesh.grid()).value();
  }

  void Allocate(const Params& params) {
    engine = std::make_unique<Engine>(*model, mesh);
    const ParamTable& table = engine->params();
    for (ParamId id = 0; id < table.size(); ++id) {
      std::vector<float> values(static_cast<size_t>(table[id].local.elements()));
      for (const PartShard& shard : table[id].shards) {
        const Doubles& from = params.at(shard.part->name);
        std::copy(from.begin(), from.end(), values.begin() + shard.offset);
      }
      engine->SetWeights(id, values.data());
    }
  }
  double loss() const { return *engine->head_sums().as<double>(); }
  Params Grads() const {
    Params grads;
    const ParamTable& table = engine->params();
    for (ParamId id = 0; id < table.size(); ++id) {
      if (!table[id].spec.trainable) continue;
      for (const PartShard& shard : table[id].shards) {
        const float* from = engine->grads().as<float>() + table[id].offset + shard.offset;
        grads[shard.part->name].assign(from, from + shard.local.elements());
      }
    }
    return grads;
  }

  std::unique_ptr<Communicator> world;
  Mesh mesh;
  Values seen;
  std::unique_ptr<Model> model;
  std::unique_ptr<Engine> engine;
};

constexpr Recompute kAllModes[] = {Recompute::kNone, Recompute::kSelective, Recompute::kFull};

TEST(Taps, GradientsOfTheStreamMeetThoseOfTheTaps) {
  const Params params = RandomTapParams(ThreeLayers(), DType::kF32);
  for (const auto& specs : {kAllSend, kOneSends}) {
    for (const Recompute recompute : kAllModes) {
      for (const bool frozen : {false, true}) {
        SCOPED_TRACE(std::string(Name(recompute)) + (frozen ? ", frozen" : ""));
        const double rate = 0.2;
        const TwinResult twin =
            RunTwin(ThreeLayers(), specs, params, {.rate = frozen ? 0.0 : rate, .seed = 1}, frozen);
        Tapped tapped(specs, recompute, Plan::Purpose::kTraining, frozen, rate);
        tapped.Allocate(params);
        StepScalars scalars;
        scalars.grad_scale[0] = kScale;
        Engine& engine = *tapped.engine;
        engine.grad_sync().BeginStep(1);
        engine.ForwardBackward(Batch(), &scalars);
        engine.grad_sync().Finish(engine.stream());
        EXPECT_NEAR(tapped.loss(), twin.loss, 1e-5 * twin.loss);
        const Params grads = tapped.Grads();
        ASSERT_EQ(grads.size(), twin.grads.size());
        for (const auto& [name, grad] : twin.grads)
          EXPECT_LE(RelativeError(grads.at(name), grad), 1e-5) << name;
      }
    }
  }
}

// What a plan without a backward pass shares memory with is not what is tapped.
TEST(Taps, LiveToTheEndOfTheTrunkWithoutABackwardPass) {
  const Params params = RandomTapParams(ThreeLayers(), DType::kF32);
  const TwinResult twin = RunTwin(ThreeLayers(), kAllSend, params, {}, true);
  for (const Recompute recompute : kAllModes) {
    Tapped tapped(kAllSend, recompute, Plan::Purpose::kInference);
    tapped.Allocate(params);
    tapped.engine->Evaluate(Batch());
    EXPECT_NEAR(tapped.loss(), twin.loss, 1e-5 * twin.loss) << Name(recompute);
    // It counts samples, of which it needs no targets, and says what it found in its own words.
    tapped.engine->StartReadingHeads();
    tapped.engine->stream().Synchronize();
    const std::vector<HeadResult> heads = tapped.engine->Heads();
    ASSERT_EQ(heads.size(), 1u);
    EXPECT_EQ(heads[0].targets, tapped.model->objective().Count(Batch(), 0));
    EXPECT_EQ(heads[0].loss, tapped.loss() / kBatch);
    const Measure* share = heads[0].Find(kShare);
    ASSERT_NE(share, nullptr);
    EXPECT_TRUE(share->value > 0.1 && share->value < 0.9) << share->value;
  }
}

// A block that is trained keeps its input anyhow, recomputed or not; the gradient is one more row
// of memory.
TEST(Taps, CostNoMoreMemoryThanTheyTake) {
  const int64_t rows = kBatch * kLength * ThreeLayers().hidden * 4;
  for (const Recompute recompute : kAllModes) {
    SCOPED_TRACE(Name(recompute));
    const auto bytes = [&](const std::vector<TapSpec>& specs, Plan::Purpose purpose, bool asks) {
      return Tapped(specs, recompute, purpose, false, 0.0, asks).model->activation_bytes();
    };
    std::vector<TapSpec> readers = kAllSend;
    for (TapSpec& spec : readers) spec.gradient = false;
    constexpr auto kTraining = Plan::Purpose::kTraining, kInference = Plan::Purpose::kInference;
    const int64_t none = bytes(readers, kTraining, false);
    EXPECT_EQ(bytes(readers, kTraining, true), none);
    EXPECT_LE(bytes(kAllSend, kTraining, true), none + 3 * rows);
    // The stem's output is kept anyhow.
    EXPECT_LE(bytes(readers, kInference, true), bytes(readers, kInference, false) + 2 * rows);
  }
}

// Decoding taps the rows of its pass; what a pass that begins further up does not run is null.
TEST(Taps, OfDecodingPasses) {
  const Params params = RandomTapParams(ThreeLayers(), DType::kF32);
  Tapped tapped(kAllSend, Recompute::kNone, Plan::Purpose::kInference);
  tapped.Allocate(params);
  Engine& engine = *tapped.engine;
  const HostBatch batch = Batch();
  engine.Evaluate(batch);
  const Values whole = tapped.seen;
  const int64_t hidden = ThreeLayers().hidden;
  const auto expect_rows = [&](size_t k) {
    ASSERT_EQ(tapped.seen[k].size(), static_cast<size_t>(kLength * hidden));
    for (size_t i = 0; i < tapped.seen[k].size(); ++i)
      ASSERT_NEAR(tapped.seen[k][i], whole[k][i], 1e-5) << k << " " << i;
  };
  DecodeBatch rows;
  for (int64_t t = 0; t < kLength; ++t) rows.AddNext(batch.inputs[static_cast<size_t>(t)], t, 0);
  const KvCache cache(tapped.model->plan(), DType::kF32, Device{}, 1, kLength);
  DecodePasses passes(engine, cache, 1);
  passes.Decode(rows, {}, nullptr);
  for (size_t k = 0; k < 3; ++k) expect_rows(k);

  std::vector<float> h(static_cast<size_t>(kLength * hidden)), delta(h.size());
  const Residual between = {Tensor::Of(h.data(), {kLength, hidden}),
                            Tensor::Of(delta.data(), {kLength, hidden})};
  passes.Decode(rows, {.last_layer = 1, .out = between, .out_rows = {0, 1, 2, 3, 4, 5, 6, 7}},
                nullptr);
  EXPECT_TRUE(tapped.seen[0].empty() && tapped.seen[2].empty());
  expect_rows(1);
  passes.Decode(rows, {.first_layer = 1, .in = between}, nullptr);
  EXPECT_TRUE(tapped.seen[1].empty()) << "the stem's output";
  expect_rows(0);
  expect_rows(2);
}

}  // namespace
}  // namespace tl
