// SPDX-License-Identifier: Apache-2.0
#include "train/health.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include "checkpoint/health.h"
#include "objective/acceptance.h"
#include "tests/checkpoint/synthetic.h"
#include "tests/data/temp_folder.h"
#include "tests/engine/rig.h"
#include "train/evaluate.h"

namespace tl {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

StepResult Made(float loss) {
  StepResult step;
  step.loss = loss;
  return step;
}
StepResult Skipped(float loss) {
  StepResult step = Made(loss);
  step.skipped = true;
  return step;
}
StepResult WithoutTargets() {
  StepResult step = Made(kNan);
  step.counted = false;
  return step;
}
RunState After(int64_t step, int64_t unhealthy_since = 0) {
  RunState run;
  run.step = step;
  run.unhealthy_since = unhealthy_since;
  return run;
}

// The state after a step, of a state that was unhealthy since `before` and had so many skips.
int64_t Judged(const StepResult& step, const LossScaler& scaler, int64_t before = 0,
               bool weights_finite = true, int64_t skips = kSkipsOfIllHealth - 1) {
  RunState run = After(9, before);
  run.skips_in_a_row = skips;
  JudgeStep(step, scaler, weights_finite, &run);
  return run.unhealthy_since;
}

TEST(JudgeStep, WithoutAScaleThatMoves) {
  const LossScaler fixed{.scale = 1024};
  EXPECT_EQ(Judged(Made(2), fixed), 0);
  EXPECT_EQ(Judged(Skipped(2), fixed), 7) << "the first of three";
  EXPECT_EQ(Judged(Skipped(2), fixed, 4), 4) << "the first of the streak";
  EXPECT_EQ(Judged(Skipped(2), fixed, 0, true, 0), 0) << "one skip changes no weight";
  EXPECT_EQ(Judged(Skipped(2), fixed, 0, true, 1), 0);
  EXPECT_EQ(Judged(Skipped(kNan), fixed, 0, true, 0), 9) << "a loss tells at once";
  EXPECT_EQ(Judged(Made(kInf), fixed), 9);
  EXPECT_EQ(Judged(Made(2), fixed, 4), 0);
  EXPECT_EQ(Judged(WithoutTargets(), fixed), 0) << "no loss, no bad one";
}

TEST(JudgeStep, AScaleMayLookForItsSize) {
  const LossScaler high{.dynamic = true, .scale = 1024}, least{.dynamic = true, .scale = 1};
  EXPECT_EQ(Judged(Skipped(2), high), 0);
  EXPECT_EQ(Judged(Skipped(2), high, 4), 4) << "nothing is proved by a skip";
  EXPECT_EQ(Judged(Skipped(kNan), high), 9);
  EXPECT_EQ(Judged(Skipped(2), least), 7);
  EXPECT_EQ(Judged(Skipped(2), least, 0, true, 0), 0);
  EXPECT_EQ(Judged(Made(2), high, 4), 0);
}

TEST(JudgeStep, CountsSkipsBetweenUpdates) {
  RunState run = After(1);
  const auto judge = [&](const StepResult& step) {
    ++run.step;
    JudgeStep(step, {}, true, &run);
    return run.unhealthy_since;
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(judge(Skipped(2)), 0);
    EXPECT_EQ(judge(Skipped(2)), 0);
    EXPECT_EQ(judge(Made(2)), 0) << "isolated ones never add up";
  }
  for (const int64_t since : {0, 0, 11, 11}) EXPECT_EQ(judge(Skipped(2)), since);
  EXPECT_EQ(judge(Made(2)), 0);
  EXPECT_EQ(run.skips_in_a_row, 0);
}

TEST(JudgeStep, GoodStepsHealNoWeights) { EXPECT_EQ(Judged(Made(2), {}, 4, false), 4); }

// Tokens below 60, so that the embedding has rows that no step reads; targets on demand.
class SomeTokens : public RandomSource {
 public:
  explicit SomeTokens(const Config& config) : RandomSource({.vocab = 60}), config_(config) {}
  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    TL_CHECK_OK(RandomSource::FillBatch(first, count, length, lookahead, out));
    if (first / config_.train.global_batch_size >= masked_from)
      std::fill(out->targets_storage.begin(), out->targets_storage.end(), -1);
    return absl::OkStatus();
  }
  int64_t masked_from = std::numeric_limits<int64_t>::max();  // step

 private:
  Config config_;
};

// Writes a value over the first element.
void Overwrite(Stream& stream, Tensor x, float value) {
  CopyBytes(stream, x.data, reinterpret_cast<const std::byte*>(&value), sizeof(value));
  stream.Synchronize();
}

TEST(Health, OfAStreakOfSkips) {
  const std::string dir = Folder() + "/streak";
  Rig rig(SmallConfig());
  bool poison = false;
  rig->on_gradients = [&](Tensor grads) {
    if (poison) Overwrite(rig->engine().stream(), grads, kNan);
  };
  const auto step = [&] { return rig->Run(rig.source).value(); };
  EXPECT_GT(step().grad_norm, 0);
  EXPECT_EQ(rig->run().unhealthy_since, 0);
  const reference::Params before = rig.Master();
  poison = true;
  for (const int64_t since : {0, 0, 2}) {
    const StepResult bad = step();
    EXPECT_TRUE(bad.skipped && std::isfinite(bad.loss));
    EXPECT_TRUE(std::isnan(bad.grad_norm));
    EXPECT_EQ(rig->run().unhealthy_since, since);
    ASSERT_TRUE(rig->Save(dir).ok());
  }
  EXPECT_TRUE(rig.Master() == before);
  EXPECT_EQ(UnhealthySince(dir + "/step_00000003"), 0) << "two skips";
  EXPECT_EQ(UnhealthySince(dir + "/step_00000004"), 2);
  Rig resumed(SmallConfig());
  ASSERT_TRUE(resumed->Resume(dir + "/step_00000003").ok());
  EXPECT_EQ(resumed->run().skips_in_a_row, 2) << "a start goes on counting";
  ASSERT_TRUE(resumed->Resume(dir + "/step_00000004").ok());
  EXPECT_EQ(resumed->run().unhealthy_since, 2);
  EXPECT_FALSE(resumed.Run().skipped);
  EXPECT_EQ(resumed->run().unhealthy_since, 0);
  poison = false;
  EXPECT_FALSE(step().skipped);
  EXPECT_EQ(rig->run().unhealthy_since, 0);
}

// A scale that overflows at first is no illness; weights that make no loss are one in any
// precision.
TEST(Health, OfLossScaling) {
  Config config = SmallConfig();
  config.precision.compute = Precision::kFp16;
  config.precision.initial_loss_scale = 0x1p21;
  Rig rig(config);
  for (int i = 0; i < 6; ++i) {
    rig.Run();
    EXPECT_EQ(rig->run().unhealthy_since, 0) << i;
  }
  EXPECT_GT(rig->run().skipped, 0) << "the test's point";
  const ParamTable& table = rig->engine().params();
  const std::vector<float> nans(static_cast<size_t>(table[0].local.elements()), kNan);
  rig->state().SetWeights(0, nans.data());
  const StepResult bad = rig.Run();
  EXPECT_TRUE(std::isnan(bad.loss) && !std::signbit(bad.loss));
  EXPECT_TRUE(std::isnan(bad.heads[0].Find(kTop1)->value));
  EXPECT_EQ(rig->run().unhealthy_since, 7);
}

// In a row of the embedding that no text has: no loss tells.
TEST(Health, OfWeightsThatNoStepReads) {
  const std::string dir = Folder() + "/weights";
  Config config = SmallConfig();
  config.model.tie_embeddings = false;
  const SomeTokens source(config);
  Rig rig(config);
  const auto step = [&] { ASSERT_FALSE(rig->Run(source).value().skipped); };
  const ParamTable& table = rig->engine().params();
  ParamId embedding = 0;
  while (table[embedding].shards[0].part->name != "embedding.weight") ++embedding;
  const auto whole = static_cast<size_t>(table[embedding].local.elements());
  std::vector<float> values(whole, 0.1f);
  rig->state().SetWeights(embedding, values.data());
  step();
  rig->CheckWeights();
  EXPECT_EQ(rig->run().unhealthy_since, 0);
  values[66 * config.model.hidden] = kInf;
  rig->state().SetWeights(embedding, values.data());
  step();
  ASSERT_TRUE(rig->Save(dir).ok());
  EXPECT_EQ(UnhealthySince(dir + "/step_00000002"), 2);
  step();
  EXPECT_EQ(rig->run().unhealthy_since, 2) << "still there";
  values[66 * config.model.hidden] = 0.1f;
  rig->state().SetWeights(embedding, values.data());
  rig->CheckWeights();
  step();
  EXPECT_EQ(rig->run().unhealthy_since, 0);
}

TEST(Health, StepsWithoutTargetsHaveNoLoss) {
  const Config config = SmallConfig();
  SomeTokens source(config);
  source.masked_from = 1;
  Rig rig(config);
  EXPECT_TRUE(rig->Run(source).value().counted);
  const StepResult masked = rig->Run(source).value();
  EXPECT_FALSE(masked.counted);
  EXPECT_TRUE(std::isnan(masked.loss));
  EXPECT_EQ(masked.grad_norm, 0);
  EXPECT_EQ(rig->run().unhealthy_since, 0);
  source.samples = 4;
  source.masked_from = 0;
  const EvalResult eval = Evaluate(rig->engine(), source, 0).value();
  EXPECT_EQ(eval.targets, 0);
  EXPECT_TRUE(std::isnan(eval.loss));
}

std::string Told(StepWatch& watch, const StepResult& step, const RunState& run) {
  testing::internal::CaptureStderr();
  watch.Tell(step, run);
  return testing::internal::GetCapturedStderr();
}

void ExpectIn(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(StepWatch, TellsStreaksOnce) {
  const std::string dir = Folder() + "/watched";
  const std::string healthy = MakeCheckpoint(dir, 3, 1, 1);
  StepWatch watch(dir, After(3));
  EXPECT_EQ(Told(watch, Made(1), After(4)), "");
  const auto skips = [](int64_t step, int64_t count, int64_t since = 0) {
    RunState run = After(step, since);
    run.skips_in_a_row = count;
    return run;
  };
  ExpectIn(Told(watch, Skipped(1), skips(5, 1)),
           {"step 5: the gradients are not finite, and its update is skipped; 3 such steps in a "
            "row make a training unhealthy"});
  EXPECT_EQ(Told(watch, Skipped(1), skips(6, 2)), "");
  ExpectIn(Told(watch, Skipped(1), skips(7, 3, 5)),
           {"step 7: the gradients of 3 steps in a row are not finite, and their updates are "
            "skipped. Until a step succeeds the training is unhealthy",
            healthy});
  EXPECT_EQ(Told(watch, Skipped(1), skips(8, 4, 5)), "");
  EXPECT_EQ(Told(watch, Skipped(kNan), skips(9, 4, 5)), "");
  ExpectIn(Told(watch, Made(1), After(10)), {"step 10: healthy again", "since step 5"});
  ExpectIn(Told(watch, Skipped(1), skips(11, 1)), {"step 11: the gradients are not finite"});
  EXPECT_EQ(Told(watch, Made(1), After(12)), "");
  ExpectIn(Told(watch, Skipped(kNan), After(13, 13)), {"step 13: the loss is not finite"});
  EXPECT_EQ(WayBack(dir, 5).find("older"), std::string::npos);
  ExpectIn(WayBack(dir, 3), {"older"});
  ExpectIn(WayBack(dir, 2), {"older"});
  EXPECT_EQ(WayBack(dir, 1).find("older"), std::string::npos) << "of another training";
  ExpectIn(WayBack(dir, 4), {healthy + "; a start", "the weights that fail now", "older"});
  ExpectIn(WayBack(Folder() + "/none", 4), {"no healthy checkpoint in"});
  // Of a training that goes on from an unhealthy state, which was told when it was loaded.
  StepWatch second(dir, After(6, 5));
  EXPECT_EQ(Told(second, Skipped(kNan), After(7, 5)), "");
}

TEST(StepWatch, TellsStepsWithoutTargetsOnce) {
  StepWatch watch(Folder(), RunState());
  const StepResult none = WithoutTargets(), some = Made(1);
  ExpectIn(Told(watch, none, After(1)), {"step 1: every target of its batch is masked"});
  EXPECT_EQ(Told(watch, none, After(2)), "");
  ExpectIn(Told(watch, some, After(3)), {"step 3: has targets again"});
  EXPECT_EQ(Told(watch, some, After(4)), "");
  ExpectIn(Told(watch, none, After(5)), {"step 5"});
}

}  // namespace
}  // namespace tl
