// SPDX-License-Identifier: Apache-2.0
// Whole steps: AdamW against its fp64 twin, clipping, decay by kind, and what happens when fp16
// overflows.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <string>

#include "tests/engine/rig.h"
#include "tests/reference/adamw.h"

namespace tl {
namespace {

using reference::Doubles;
using reference::Params;

bool IsNorm(const std::string& name) { return name.find("norm") != std::string::npos; }
bool IsBias(const std::string& name) { return name.find(".bias") != std::string::npos; }
bool IsTable(const std::string& name) {
  return name == "embedding.weight" || name == "lm_head.weight";
}

// Follows a run with the twin: its gradients are the run's own, everything after them is fp64.
void FollowWithTheTwin(const Config& config) {
  Rig rig(config);
  std::map<std::string, reference::AdamWState<double>> twin;
  for (auto& [name, p] : rig.Master())
    twin[name] = {.p = p, .m = Doubles(p.size()), .v = Doubles(p.size())};
  for (int step = 1; step <= 4; ++step) {
    const StepResult result = rig.Run();
    ASSERT_FALSE(result.skipped);
    double squares = 0.0;
    for (const auto& [name, grad] : rig.grads) {
      for (const double g : grad) squares += g * g;
    }
    const double norm = std::sqrt(squares), clip = config.optimizer.clip;
    EXPECT_NEAR(result.grad_norm, norm, 1e-5 * norm);
    const double factor = clip > 0.0 ? std::fmin(1.0, clip / (norm + 1e-6)) : 1.0;
    const Params master = rig.Master(), m = rig.State(0), v = rig.State(1);
    const OptimizerConfig& o = config.optimizer;
    for (auto& [name, state] : twin) {
      Doubles grad = rig.grads.at(name);
      for (double& g : grad) g *= factor;
      const bool decays = IsTable(name)  ? o.decay_embeddings
                          : IsNorm(name) ? o.decay_norms
                                         : !IsBias(name);
      const Doubles before = state.p;
      reference::AdamW<double>(state, grad,
                               {.lr = result.lr,
                                // The kernel's are fp32, which moves 1 - beta by more than an ulp.
                                .beta1 = static_cast<float>(o.beta1),
                                .beta2 = static_cast<float>(o.beta2),
                                .eps = o.eps,
                                .weight_decay = decays ? o.weight_decay : 0.0},
                               step);
      EXPECT_LE(RelativeError(m.at(name), state.m), 1e-5) << name << " m, step " << step;
      EXPECT_LE(RelativeError(v.at(name), state.v), 1e-5) << name << " v, step " << step;
      // Of the change, since weights are large beside it.
      double error = 0.0, change = 0.0;
      for (size_t i = 0; i < before.size(); ++i) {
        error += std::pow(master.at(name)[i] - state.p[i], 2);
        change += std::pow(state.p[i] - before[i], 2);
      }
      EXPECT_LE(std::sqrt(error), 1e-3 * std::sqrt(change)) << name << ", step " << step;
    }
  }
}

Config Base() {
  Config config = SmallConfig();
  config.model.qkv_bias = config.model.qk_norm = true;
  config.model.tie_embeddings = false;
  config.train.global_batch_size = 2;
  config.train.micro_batch_size = 1;
  config.optimizer.lr = 1e-2;
  config.optimizer.warmup_steps = 2;
  return config;
}

TEST(Update, EqualsTheTwin) { FollowWithTheTwin(Base()); }

TEST(Update, Clipped) {
  Config config = Base();
  config.optimizer.clip = 0.05;
  FollowWithTheTwin(config);
  config.optimizer.clip = 0.0;
  FollowWithTheTwin(config);
}

TEST(Update, DecayOfEverything) {
  Config config = Base();
  config.optimizer.decay_embeddings = config.optimizer.decay_norms = true;
  config.optimizer.weight_decay = 0.5;
  FollowWithTheTwin(config);
}

TEST(Update, OtherMoments) {
  Config config = Base();
  config.optimizer.beta1 = 0.8;
  config.optimizer.beta2 = 0.999;
  config.optimizer.eps = 1e-6;
  config.optimizer.schedule = ScheduleKind::kLinear;
  FollowWithTheTwin(config);
}

TEST(Update, MastersOfLowPrecision) {
  for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
    Config config = Base();
    config.precision.compute = precision;
    config.precision.initial_loss_scale = 256.0;
    FollowWithTheTwin(config);
  }
}

// The compute weights are the masters, rounded.
TEST(Update, WeightsAreRoundedMasters) {
  Config config = Base();
  config.precision.compute = Precision::kBf16;
  Rig rig(config);
  rig.Run();
  const Weights& weights = rig->engine().weights();
  for (const Segment& s : rig->state().segments()) {
    const float* master = rig->state().Master(s.flat, s.shard, s.size).as<float>();
    for (int64_t i = 0; i < s.size; ++i) {
      ASSERT_EQ(weights.flat.as<BF16>()[s.flat + i].bits, FromFloat<BF16>(master[i]).bits);
    }
  }
}

TEST(Update, ABatchWithoutTargetsChangesOnlyByDecay) {
  class Masked : public RandomSource {
   public:
    using RandomSource::RandomSource;
    absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                           HostBatch* out) const override {
      const absl::Status status = RandomSource::FillBatch(first, count, length, lookahead, out);
      out->targets_storage.assign(out->targets_storage.size(), -1);
      return status;
    }
  };
  Config config = Base();
  config.optimizer.weight_decay = 0.0;
  Rig rig(config);
  const Params before = rig.Master();
  const StepResult result = rig->Run(Masked({.vocab = config.model.vocab})).value();
  EXPECT_FALSE(result.counted);
  EXPECT_TRUE(std::isnan(result.loss)) << "there is none";
  EXPECT_EQ(result.targets, 0);
  EXPECT_EQ(result.grad_norm, 0.0);
  EXPECT_FALSE(result.skipped);
  EXPECT_EQ(rig.Master(), before);
}

Config Fp16() {
  Config config = SmallConfig();
  config.precision.compute = Precision::kFp16;
  config.train.steps = 200;
  return config;
}

// A scale beyond fp16's range makes the first gradients Inf: steps are skipped, nothing moves, the
// scale halves until they fit, and then training goes on.
TEST(Overflow, IsSkippedAndTheScaleFalls) {
  Config config = Fp16();
  config.precision.initial_loss_scale = 0x1p30;
  Rig rig(config);
  const Params master = rig.Master(), m = rig.State(0), v = rig.State(1);
  double scale = 0x1p30;
  int64_t skipped = 0;
  while (true) {
    const StepResult result = rig.Run();
    EXPECT_EQ(result.loss_scale, scale);
    EXPECT_TRUE(std::isfinite(result.loss));
    if (!result.skipped) break;
    ++skipped;
    scale /= 2;
    EXPECT_EQ(rig.Master(), master);
    EXPECT_EQ(rig.State(0), m);
    EXPECT_EQ(rig.State(1), v);
    EXPECT_EQ(rig->run().scaler.scale, scale);
    EXPECT_EQ(rig->run().skipped, skipped);
    EXPECT_EQ(rig->run().updates, 0);
    EXPECT_EQ(rig->run().step, skipped);
    ASSERT_LT(skipped, 40) << "no end of overflows";
  }
  EXPECT_GT(skipped, 0);
  EXPECT_NE(rig.Master(), master);
  EXPECT_EQ(rig->run().updates, 1);
  std::printf("%d steps skipped, the scale fell from 2^30 to 2^%d\n", static_cast<int>(skipped),
              static_cast<int>(std::log2(scale)));
}

// An Inf or NaN put into one gradient of a healthy run.
TEST(Overflow, InjectedIntoOneGradient) {
  for (const float poison :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    Config config = Fp16();
    config.precision.initial_loss_scale = 1024.0;
    config.precision.growth_interval = 4;
    config.optimizer.lr = 1e-2;
    Rig rig(config);
    int step = 0;
    rig->on_gradients = [&](Tensor grads) {
      if (step == 3) grads.as<float>()[grads.elements() / 2] = poison;
    };
    float first = 0.0f, last = 0.0f;
    double scale_at_end = 0.0;
    for (; step < 30; ++step) {
      const Params before = rig.Master();
      const StepResult result = rig->Run(rig.source).value();
      if (step == 0) first = result.loss;
      last = result.loss;
      EXPECT_EQ(result.skipped, step == 3);
      EXPECT_EQ(rig.Master() == before, step == 3);
      if (step == 3) {
        EXPECT_EQ(rig->run().scaler.scale, 512.0);
      }
      if (step == 7) {
        EXPECT_EQ(rig->run().scaler.scale, 1024.0) << "four clean steps later";
      }
      scale_at_end = rig->run().scaler.scale;
    }
    EXPECT_EQ(rig->run().step, 30);
    EXPECT_EQ(rig->run().skipped, 1);
    EXPECT_EQ(rig->run().updates, 29);
    EXPECT_TRUE(std::isfinite(last));
    EXPECT_LT(last, first + 0.1f);
    EXPECT_GE(scale_at_end, 1024.0);
  }
}

// The size of the scale itself changes no update: gradients are unscaled before clipping.
TEST(Overflow, TheScaleCancels) {
  Params kept;
  for (const double scale : {64.0, 4096.0}) {
    Config config = Fp16();
    config.precision.loss_scale = scale;
    Rig rig(config);
    const StepResult result = rig.Run();
    EXPECT_EQ(result.loss_scale, scale);
    EXPECT_FALSE(result.skipped);
    if (kept.empty()) kept = rig.grads;
    for (const auto& [name, grad] : rig.grads)
      EXPECT_LE(RelativeError(grad, kept.at(name)), 2e-2) << name;
  }
}

TEST(Overflow, AFixedScaleIsKept) {
  Config config = Fp16();
  config.precision.loss_scale = 0x1p30;
  Rig rig(config);
  for (int step = 0; step < 3; ++step) EXPECT_TRUE(rig.Run().skipped);
  EXPECT_EQ(rig->run().scaler.scale, 0x1p30);
  EXPECT_EQ(rig->run().skipped, 3);
}

}  // namespace
}  // namespace tl
