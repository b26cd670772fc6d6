// SPDX-License-Identifier: Apache-2.0
// What dropout does to a run beside its gradients, which are in gradients_test.cc and
// objectives_test.cc.
#include <gtest/gtest.h>

#include "tests/engine/rig.h"
#include "train/evaluate.h"

namespace tl {
namespace {

Config WithDropout(double rate, int64_t seed = 1) {
  Config config = SmallConfig();
  config.train.hidden_dropout = rate;
  config.train.seed = seed;
  return config;
}

reference::Params GradientsOf(const Config& config, int64_t steps = 1) {
  Rig rig(config);
  rig.SetWeights(RandomParams(config.model));
  for (int64_t i = 0; i < steps; ++i) rig.Run();
  return rig.grads;
}

TEST(Dropout, IsOffWhereNothingIsTrained) {
  Rig with(WithDropout(0.5)), without(WithDropout(0.0));
  const reference::Params params = RandomParams(SmallModel());
  for (Rig* rig : {&with, &without}) {
    rig->SetWeights(params);
    rig->source.samples = 4;
  }
  EXPECT_EQ(Evaluate(with->engine(), with.source, 0)->loss,
            Evaluate(without->engine(), without.source, 0)->loss);
  EXPECT_NE(with.Run().loss, without.Run().loss);
}

TEST(Dropout, HasAnotherMaskForAnotherSeed) {
  EXPECT_EQ(GradientsOf(WithDropout(0.5, 1)), GradientsOf(WithDropout(0.5, 1)));
  EXPECT_NE(GradientsOf(WithDropout(0.5, 1)), GradientsOf(WithDropout(0.5, 2)));
  EXPECT_EQ(GradientsOf(WithDropout(0.0, 1)), GradientsOf(WithDropout(0.0, 2)));
}

// A sample keeps its mask in whatever micro-batch it is, and has another one in the next step.
TEST(Dropout, FollowsTheSample) {
  Config config = WithDropout(0.5);
  config.optimizer.lr = 1e-30;  // both steps start from the same weights
  const reference::Params whole = GradientsOf(config);
  config.train.micro_batch_size = 1;
  for (const auto& [name, grad] : GradientsOf(config))
    EXPECT_LE(RelativeError(grad, whole.at(name)), 1e-5) << name;

  // Samples that are all the same text.
  class OneSample : public RandomSource {
   public:
    using RandomSource::RandomSource;
    absl::Status FillBatch(int64_t, int64_t count, int64_t length, int64_t lookahead,
                           HostBatch* out) const override {
      return RandomSource::FillBatch(0, count, length, lookahead, out);
    }
  };
  for (const double rate : {0.0, 0.5}) {
    config.train.hidden_dropout = rate;
    Rig rig(config);
    rig.SetWeights(RandomParams(config.model));
    const OneSample source({.vocab = config.model.vocab});
    const float first = rig->Run(source)->loss, second = rig->Run(source)->loss;
    EXPECT_EQ(first == second, rate == 0.0) << first << " " << second;
  }
}

}  // namespace
}  // namespace tl
