// SPDX-License-Identifier: Apache-2.0
// The keys of [objective] name = "denoise": what stands for what, and what is refused.
#include "objective/denoise_settings.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/parse.h"
#include "engine/validate.h"
#include "objective/descriptor.h"
#include "objective/keys.h"
#include "tests/expect_error.h"

namespace tl {
namespace {

constexpr char kConfig[] = R"(
[model]
layers = 2
hidden = 64
heads = 2
ffn = 128
shape = [1, 28, 28]
patch = 4
classes = 10
[objective]
name = "denoise"
[train]
steps = 10
global_batch_size = 4
micro_batch_size = 2
)";

Config Parse(const std::vector<std::string>& overrides) {
  const auto config = ParseConfig(AllKeys(), kConfig, "my.toml", overrides);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : Config();
}

DenoiseSettings Settings(const std::vector<std::string>& overrides) {
  const Config config = Parse(overrides);
  EXPECT_TRUE(Validate(config, 1).ok()) << Validate(config, 1);
  return SettingsOf<DenoiseSettings>(config.objective);
}

void ExpectInvalid(const std::vector<std::string>& overrides,
                   const std::vector<std::string>& parts) {
  ExpectError(Validate(Parse(overrides), 1), parts);
}

TEST(DenoiseSettingsTest, AutoIsTheProcesssOwn) {
  for (const ProcessKind& kind : ProcessKinds()) {
    const DenoiseSettings s = Settings({std::string("objective.process=") + kind.name});
    EXPECT_EQ(s.prediction(), kind.prediction) << kind.name;
    EXPECT_EQ(s.training_times(), kind.times) << kind.name;
    EXPECT_EQ(&s.MakeProcess().kind(), &kind);
  }
  const DenoiseSettings s =
      Settings({"objective.process=ve", "objective.predict=velocity", "objective.times=ladder",
                "objective.levels=232", "objective.sigma_max=20"});
  EXPECT_EQ(s.prediction(), Prediction::kVelocity);
  EXPECT_EQ(s.training_times(), TrainingTimes::kLadder);
  EXPECT_DOUBLE_EQ(s.MakeProcess().noise_max(), 20.0);
  EXPECT_EQ(s.MakeProcess().options().levels, 232);
}

TEST(DenoiseSettingsTest, RefusesWhatNothingReads) {
  ExpectError(ParseConfig(AllKeys(), kConfig, "my.toml", {"objective.process=nothing"}).status(),
              {"process", "\"vp\"", "nothing"});
  ExpectInvalid({"objective.beta_max=10"}, {"[objective] beta_max = 10", "vp", "\"edm\""});
  ExpectInvalid({"objective.process=vp", "objective.sigma_max=10"},
                {"[objective] sigma_max = 10", "only process = ", "edm", "\"vp\""});
  ExpectInvalid({"objective.levels=10"}, {"[objective] levels = 10", "times = \"ladder\""});
  ExpectInvalid({"objective.process=vp", "objective.p_std=1"},
                {"[objective] p_std = 1", "times = \"lognormal\""});
  ExpectInvalid({"objective.heads=3"}, {"[objective] heads is a key of"});
}

TEST(DenoiseSettingsTest, RefusesRangesThatAreNone) {
  ExpectInvalid({"objective.times=ladder"}, {"[objective] levels = 0", "2 or more"});
  ExpectInvalid({"objective.sigma_min=90"}, {"[objective] sigma_min = 90", "sigma_max = 80"});
  ExpectInvalid({"objective.process=vp", "objective.beta_min=30"},
                {"[objective] beta_min = 30", "beta_max = 20"});
  ExpectInvalid({"model.classes=0", "objective.label_drop=0.1"},
                {"[objective] label_drop = 0.1", "[model] classes = 0"});
}

TEST(DenoiseSettingsTest, RefusesAModelOfTokens) {
  ExpectInvalid({"model.shape=[]", "model.vocab=256", "train.sequence_length=16", "model.patch=1",
                 "model.classes=0"},
                {"[objective] name = \"denoise\" learns from samples of values"});
}

}  // namespace
}  // namespace tl
