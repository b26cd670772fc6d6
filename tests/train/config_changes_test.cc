#include "train/config_changes.h"

#include <gtest/gtest.h>

#include "cli/config.h"

namespace tl {
namespace {

Config Base() {
  Config config;
  config.model.layers = 2;
  config.data.train = {{"a.tok"}};
  config.train.sequence_length = 64;
  return config;
}

std::vector<ConfigChange> After(void (*change)(Config&)) {
  Config config = Base();
  change(config);
  return ConfigChanges(WriteResolved(config), WriteResolved(Base()));
}

TEST(ConfigChanges, NoneInTheSameConfig) {
  EXPECT_TRUE(After([](Config&) {}).empty());
  EXPECT_EQ(Describe({}), "");
}

TEST(ConfigChanges, NamesKeysWithBothValues) {
  const auto changes = After([](Config& c) {
    c.train.sequence_length = 128;
    c.data.train = {{"a.tok"}, {"b.tok"}};
  });
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(Describe({changes[1]}), "[train] sequence_length = 128, was 64");
  EXPECT_EQ(changes[0].section, "data");
  EXPECT_EQ(changes[0].key, "train");
  EXPECT_NE(changes[0].now.find("b.tok"), std::string::npos) << changes[0].now;
  for (const ConfigChange& change : changes) {
    EXPECT_TRUE(ChangesTheData(change));
    EXPECT_FALSE(ChangesTheModel(change));
  }
}

TEST(ConfigChanges, TheSeedOrdersTheData) {
  const auto changes = After([](Config& c) { c.train.seed = 7; });
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(ChangesTheData(changes[0]));
}

TEST(ConfigChanges, KnowsWhatMakesAnotherModel) {
  for (const auto& change :
       {+[](Config& c) { c.model.rope_theta = 5e5; },
        +[](Config& c) { c.model.rope_scaling.factor = 8; },
        +[](Config& c) { c.model.sliding_window = 32; },
        +[](Config& c) { c.model.norm_eps = 1e-6; }, +[](Config& c) { c.model.layers = 1; }}) {
    const auto changes = After(change);
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_TRUE(ChangesTheModel(changes[0])) << Describe(changes);
  }
  EXPECT_TRUE(After([](Config& c) { c.model.rope_scaling.original_context = 4096; }).empty());
  for (const auto& change :
       {+[](Config& c) { c.model.init_std = 0.1; },
        +[](Config& c) { c.model.kv_heads = 2; },  // was 0: as many as heads
        +[](Config& c) { c.data.any_tokenizer = true; }, +[](Config& c) { c.optimizer.lr = 1.0; },
        +[](Config& c) { c.data.eval = {{"e.tok"}}; }}) {
    const auto changes = After(change);
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_FALSE(ChangesTheModel(changes[0])) << Describe(changes);
    EXPECT_FALSE(ChangesTheData(changes[0])) << Describe(changes);
  }
}

TEST(ConfigChanges, TellTheScheduleThatWas) {
  const auto change = [](Config& c) {
    c.train.steps = 200;
    c.optimizer = {.lr = 1e-3,
                   .min_lr = 1e-5,
                   .warmup_steps = 7,
                   .schedule = ScheduleKind::kWsd,
                   .decay_fraction = 0.5};
  };
  Schedule now{.kind = ScheduleKind::kWsd,
               .lr = 1e-3,
               .min_lr = 1e-5,
               .warmup_steps = 7,
               .steps = 200,
               .decay_fraction = 0.5};
  const Schedule was = ScheduleBefore(now, After(change));
  const Config base = Base();
  EXPECT_EQ(was.kind, base.optimizer.schedule);
  EXPECT_EQ(was.lr, base.optimizer.lr);
  EXPECT_EQ(was.min_lr, base.optimizer.min_lr);
  EXPECT_EQ(was.warmup_steps, base.optimizer.warmup_steps);
  EXPECT_EQ(was.steps, base.train.steps);
  EXPECT_EQ(was.decay_fraction, base.optimizer.decay_fraction);
  EXPECT_EQ(ScheduleBefore(now, {}).Rate(150), now.Rate(150));
  EXPECT_EQ(ScheduleBefore(now, After([](Config& c) { c.train.seed = 3; })).steps, 200);
}

TEST(ConfigChanges, KeysOfOtherVersionsAreNoChange) {
  EXPECT_TRUE(
      ConfigChanges("[model]\nnew = 1\nsame = 2\n", "[model]\nold = 1\nsame = 2\n").empty());
  EXPECT_TRUE(ConfigChanges("[model]\nlayers = 2\n", "").empty());
  EXPECT_TRUE(ConfigChanges("[a]\nx = 1\n", "[b]\nx = 2\n").empty());
}

}  // namespace
}  // namespace tl
