// SPDX-License-Identifier: Apache-2.0
// What is saved on one grid resumes on any other: weights and optimizer state to the bit, and the
// losses that follow within the bounds of two layouts; on the same grid everything to the bit.
#include <filesystem>
#include <iterator>
#include <map>

#include "grid_compare.h"
#include "grid_pictures.h"
#include "objective/independent_heads.h"

namespace tl::test {
namespace {

constexpr int kBefore = 5;

const DataSource& Source(const Config& config) {
  static const std::unique_ptr<DataSource> plain = MakeSource(), packed = MakeSource(true);
  static const Stripes stripes(ClassesConfig().model);
  if (config.model.of_values()) return stripes;
  return config.data.pack_documents ? *packed : *plain;
}

// Steps after the resume: in fp32 more, for how far two layouts drift apart.
int StepsAfter(const Config& config) {
  return config.precision.compute == Precision::kFp32 && !config.model.of_values() ? 10 : 3;
}

// Every way a parameter is laid out: fused, biased, held by several tensor ranks, padded, whole.
Config ResumeConfig(Precision precision, bool packed = false) {
  Config config = SmallConfig();
  config.data.pack_documents = packed;
  config.model.kv_heads = 1;
  config.model.tie_embeddings = false;
  config.model.qkv_bias = true;
  config.model.qk_norm = true;
  config.train.hidden_dropout = 0.1;
  config.optimizer.ema = 0.3;
  config.precision.compute = precision;
  // Dynamic: doubles after every third step, so that its state matters.
  config.precision.initial_loss_scale = 1024.0;
  config.precision.growth_interval = 3;
  return config;
}

// A folder that all ranks share, gone at the end.
class SharedFolder {
 public:
  SharedFolder() {
    int64_t pid = getpid();
    Stream stream = Stream::Cpu();
    World().Broadcast(stream, Tensor::Of(&pid, {1}), 0);
    path_ = testing::TempDir() + "resume_test." + std::to_string(pid);
  }
  ~SharedFolder() {
    Stream stream = Stream::Cpu();
    World().Barrier(stream);
    std::error_code error;
    if (World().rank() == 0) std::filesystem::remove_all(path_, error);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

bool SameRunState(const RunState& a, const RunState& b) {
  return a.step == b.step && a.updates == b.updates && a.skipped == b.skipped &&
         a.samples == b.samples && a.seed == b.seed && a.scaler.scale == b.scaler.scale &&
         a.scaler.clean_steps == b.scaler.clean_steps &&
         a.scaler.hysteresis_left == b.scaler.hysteresis_left;
}

void BroadcastRunState(RunState& run) {
  Stream stream = Stream::Cpu();
  auto scale = static_cast<int64_t>(run.scaler.scale);
  for (int64_t* value : {&run.step, &run.updates, &run.skipped, &run.samples, &run.seed,
                         &run.scaler.clean_steps, &run.scaler.hysteresis_left, &scale})
    World().Broadcast(stream, Tensor::Of(value, {1}), 0);
  run.scaler.scale = static_cast<double>(scale);
}

// saves: of a save in flight, if any; an evaluation then comes between.
void Continue(const Config& config, Stepper& stepper, Checkpointer* saves, Outcome& outcome) {
  for (int i = 0; i < StepsAfter(config); ++i) {
    RunStep(stepper, Source(config), outcome);
    if (saves == nullptr) continue;
    const absl::Status status = saves->Poll();
    EXPECT_TRUE(status.ok()) << status;
    if (i == 0) {
      const auto held_out = stepper.Evaluate(Source(config), /*batches=*/1);
      EXPECT_TRUE(held_out.ok()) << held_out.status();
    }
  }
  outcome.weights = GatherMasters(stepper);
  outcome.moments = GatherMoments(stepper);
  ExpectCopiesEqual(stepper, outcome.weights);
}

// A grid's run: what was saved, and how it went on without an interruption.
struct Saved {
  Outcome at_save, after;
  RunState state;
};

Saved TrainAndSave(const Config& config, Communicator& ranks, const std::string& folder) {
  Training training = StartTraining(config, ranks);
  Stepper& stepper = *training.stepper;
  stepper.Initialize();
  Saved saved;
  for (int i = 0; i < kBefore; ++i) RunStep(stepper, Source(config), saved.at_save);
  saved.at_save.weights = GatherMasters(stepper);
  saved.at_save.moments = GatherMoments(stepper);
  saved.state = stepper.run();
  // Asynchronous in all but fp32: training goes on while the checkpoint is written.
  const bool async = config.precision.compute != Precision::kFp32;
  auto saves = stepper.OpenCheckpoints({.folder = folder, .async = async});
  TL_CHECK(saves.ok()) << saves.status().ToString();
  absl::Status status = (*saves)->Start(stepper.engine().stream(), stepper.run());
  if (status.ok() && !async) status = (*saves)->Wait();
  EXPECT_TRUE(status.ok()) << status;
  Continue(config, stepper, saves->get(), saved.after);
  status = (*saves)->Wait();
  EXPECT_TRUE(status.ok()) << status;
  return saved;
}

void ResumeAndCompare(const Config& config, Communicator& ranks, const std::string& folder,
                      const Saved& saved, bool same_grid) {
  Training training = StartTraining(config, ranks);
  Stepper& stepper = *training.stepper;
  const absl::Status status = stepper.Resume(folder).status();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(SameRunState(stepper.run(), saved.state));
  const std::vector<float> weights = GatherMasters(stepper);
  EXPECT_TRUE(Same(weights, saved.at_save.weights));
  EXPECT_TRUE(Same(GatherMoments(stepper), saved.at_save.moments));
  ExpectCopiesEqual(stepper, weights);
  Outcome after;
  Continue(config, stepper, nullptr, after);
  if (same_grid) {
    EXPECT_TRUE(Same(after.losses, saved.after.losses));
    EXPECT_TRUE(Same(after.norms, saved.after.norms));
    EXPECT_TRUE(Same(after.weights, saved.after.weights));
    EXPECT_TRUE(Same(after.moments, saved.after.moments));
    return;
  }
  const double bound = config.precision.compute == Precision::kFp32 ? 1e-5 : 2e-3;
  for (int i = 0; i < StepsAfter(config); ++i)
    EXPECT_NEAR(after.losses[i], saved.after.losses[i], bound * saved.after.losses[i]);
}

void TestResume(const Config& config) {
  const SharedFolder folder;
  std::vector<Layout> layouts;
  for (const Layout& layout : Layouts(World().size(), {Recompute::kNone})) {
    // Sequence parallelism lays out parameters no differently: on is enough.
    if (layout.tensor == 1 || layout.sequence) layouts.push_back(layout);
  }
  // Grids of 1, 2, ... of the first ranks.
  std::map<int, std::unique_ptr<Communicator>> groups;
  for (int n = 1; n <= World().size(); n *= 2)
    groups[n] = World().Split(World().rank() / n, World().rank());
  const auto takes_part = [](const Layout& layout) { return World().rank() < layout.ranks(); };

  std::vector<Saved> saved(layouts.size());
  for (size_t i = 0; i < layouts.size(); ++i) {
    SCOPED_TRACE(layouts[i].name());
    if (takes_part(layouts[i]))
      saved[i] = TrainAndSave(With(config, layouts[i]), *groups[layouts[i].ranks()],
                              folder / layouts[i].name());
    BroadcastOutcome(saved[i].at_save, 0);
    BroadcastOutcome(saved[i].after, 0);
    BroadcastRunState(saved[i].state);
  }
  for (size_t to = 0; to < layouts.size(); ++to) {
    if (!takes_part(layouts[to])) continue;
    for (size_t from = 0; from < layouts.size(); ++from) {
      SCOPED_TRACE("from " + layouts[from].name() + " to " + layouts[to].name());
      ResumeAndCompare(With(config, layouts[to]), *groups[layouts[to].ranks()],
                       folder / layouts[from].name(), saved[from], from == to);
    }
  }
}

TEST(Resume, Fp32OnAnyGrid) { TestResume(ResumeConfig(Precision::kFp32, false)); }
TEST(Resume, Bf16OnAnyGrid) { TestResume(ResumeConfig(Precision::kBf16, true)); }
TEST(Resume, Fp16OnAnyGrid) { TestResume(ResumeConfig(Precision::kFp16, true)); }

// Noise and labels go on where they were; the evaluation between draws others, and uses the average.
TEST(Resume, DenoiserOnAnyGrid) {
  Config config = ClassesConfig();
  config.optimizer.ema = 0.3;
  config.train.hidden_dropout = 0.1;
  TestResume(config);
}

// In the middle of a curriculum, of the rise of the heads' weight, and with a frozen trunk.
TEST(Resume, IndependentHeads) {
  Config config = ResumeConfig(Precision::kFp32);
  config.objective.name = "independent_heads";
  config.objective.Set("heads", 3);
  config.objective.Set("curriculum", Curriculum::kForward);
  config.objective.Set("curriculum_steps", 9);
  TestResume(config);
}

TEST(Resume, ModulesOnAFrozenTrunk) {
  Config config = ResumeConfig(Precision::kBf16);
  config.objective.name = "sequential_mtp";
  config.objective.Set("depth", 2);
  config.objective.Set("freeze_trunk", true);
  config.run.init_from = "initial weights will do";
  TestResume(config);
}

TEST(Resume, MedusaStages) {
  Config config = ResumeConfig(Precision::kBf16);
  config.objective.name = "medusa";
  config.objective.Set("heads", 2);
  config.objective.Set("warmup_steps", 10);
  TestResume(config);
  config.objective.Set("freeze_trunk", true);
  config.run.init_from = "initial weights will do";
  TestResume(config);
}

}  // namespace
}  // namespace tl::test
