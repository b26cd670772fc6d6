// SPDX-License-Identifier: Apache-2.0
#include "config/changes.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "objective/keys.h"

namespace tl {
namespace {

Config Base() {
  Config config;
  config.model.layers = 2;
  config.data.train = {{"a.tok"}};
  config.train.steps = 100;
  config.train.sequence_length = 64;
  return config;
}

ConfigChanges After(void (*change)(Config&)) {
  Config config = Base();
  change(config);
  return FindChanges(AllKeys(), config, WriteResolved(AllKeys(), Base()));
}

std::vector<AtResume> Meanings(const ConfigChanges& changes) {
  std::vector<AtResume> meanings;
  for (const AtResume what :
       {AtResume::kModel, AtResume::kData, AtResume::kSchedule, AtResume::kLoss})
    if (!changes.Of(what).empty()) meanings.push_back(what);
  return meanings;
}

using Means = std::vector<AtResume>;

TEST(ConfigChanges, NoneInTheSameConfig) {
  EXPECT_TRUE(After([](Config&) {}).all.empty());
  EXPECT_EQ(Describe({}), "");
}

TEST(ConfigChanges, NamesKeysWithBothValues) {
  const ConfigChanges changes = After([](Config& c) {
    c.train.sequence_length = 128;
    c.data.train = {{"a.tok"}, {"b.tok"}};
  });
  EXPECT_EQ(Describe(changes.all),
            "[data] train = [\"a.tok\", \"b.tok\"], was [\"a.tok\"]; "
            "[train] sequence_length = 128, was 64");
  EXPECT_EQ(changes.Of(AtResume::kData).size(), 2u);
  EXPECT_EQ(Meanings(changes), Means{AtResume::kData});
  EXPECT_EQ(changes.before, Base());
}

TEST(ConfigChanges, TheSeedOrdersTheData) {
  EXPECT_EQ(Meanings(After([](Config& c) { c.train.seed = 7; })), Means{AtResume::kData});
}

TEST(ConfigChanges, KnowsWhatMakesAnotherModel) {
  for (const auto& change :
       {+[](Config& c) { c.model.rope_theta = 5e5; },
        +[](Config& c) { c.model.rope_scaling.factor = 8; },
        +[](Config& c) { c.model.sliding_window = 32; },
        +[](Config& c) { c.model.norm_eps = 1e-6; }, +[](Config& c) { c.model.layers = 1; }}) {
    const ConfigChanges changes = After(change);
    ASSERT_EQ(changes.all.size(), 1u);
    EXPECT_EQ(Meanings(changes), Means{AtResume::kModel}) << Describe(changes.all);
  }
  EXPECT_TRUE(After([](Config& c) { c.model.rope_scaling.original_context = 4096; }).all.empty());
  for (const auto& change : {+[](Config& c) { c.model.init_std = 0.1; },
                             +[](Config& c) { c.model.kv_heads = 2; },  // was 0: as many as heads
                             +[](Config& c) { c.data.any_tokenizer = true; },
                             +[](Config& c) { c.data.eval = {{"e.tok"}}; }}) {
    const ConfigChanges changes = After(change);
    ASSERT_EQ(changes.all.size(), 1u);
    EXPECT_EQ(Meanings(changes), Means{}) << Describe(changes.all);
  }
  Config now = Base();
  now.model.kv_heads = 2;
  EXPECT_EQ(Meanings(FindChanges(AllKeys(), now, "[model]\nkv_heads = 1\n")),
            Means{AtResume::kModel});
}

TEST(ConfigChanges, TellTheScheduleThatWas) {
  const ConfigChanges changes = After([](Config& c) {
    c.train.steps = 200;
    c.optimizer = {.lr = 1e-3,
                   .min_lr = 1e-5,
                   .warmup_steps = 7,
                   .schedule = ScheduleKind::kWsd,
                   .decay_fraction = 0.5};
  });
  EXPECT_EQ(changes.Of(AtResume::kSchedule).size(), 6u);
  EXPECT_EQ(Meanings(changes), Means{AtResume::kSchedule});
  EXPECT_EQ(changes.before, Base());
}

TEST(ConfigChanges, AnObjectivesKeysAreAnotherLoss) {
  const ConfigChanges changes = After([](Config& c) { c.objective.name = "medusa"; });
  EXPECT_EQ(Meanings(changes), Means{AtResume::kLoss});
  EXPECT_EQ(Describe(changes.all), "[objective] name = \"medusa\", was \"next_token\"");
}

TEST(ConfigChanges, KeysOfOtherVersionsAreNoChange) {
  const auto changes = [](const std::string& before) {
    return Describe(FindChanges(AllKeys(), Base(), before).all);
  };
  EXPECT_EQ(changes("[model]\nold = 1\nlayers = 2\n[older]\nx = 2\n"), "");
  EXPECT_EQ(changes(""), "");
  EXPECT_EQ(changes("no TOML"), "");
  EXPECT_EQ(changes("[model]\nlayers = \"two\"\n"), "");
  EXPECT_EQ(changes("[model]\nlayers = 3\n"), "[model] layers = 2, was 3");
}

}  // namespace
}  // namespace tl
