// SPDX-License-Identifier: Apache-2.0
// Checkpoints that were saved while a training failed: marked, passed over, and never the reason
// for which a healthy one goes.
#include "checkpoint/health.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/load.h"
#include "checkpoint/manifest.h"
#include "checkpoint/reshard.h"
#include "tests/checkpoint/synthetic.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

using Steps = std::vector<int64_t>;

class Health : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = Folder() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  std::string Make(int64_t step, int64_t unhealthy_since = 0) {
    return MakeCheckpoint(folder_, step, 1, 1, unhealthy_since);
  }
  // As a training does it that saves this step.
  void Save(int64_t step, int64_t unhealthy_since, int64_t keep, int64_t keep_every = 0) {
    Make(step, unhealthy_since);
    Retain(folder_, step, keep, keep_every);
  }
  Steps Kept() const {
    Steps steps;
    for (const CheckpointEntry& entry : ListCheckpoints(folder_)) steps.push_back(entry.step);
    return steps;
  }
  std::string Loaded(const std::string& where) {
    const auto world = MakeSelfCommunicator();
    return LoadNewest(where, *world,
                      [](CheckpointReader& reader) { return CheckSynthetic(reader); })
        .value();
  }

  std::string folder_;
};

TEST_F(Health, StandsInTheManifest) {
  const std::string well = Make(7), ill = Make(9, 8);
  EXPECT_EQ(UnhealthySince(well), 0);
  EXPECT_EQ(UnhealthySince(ill), 8);
  EXPECT_EQ(UnhealthySince(folder_ + "/none"), 0);
  EXPECT_EQ(CheckpointReader::Open(well).value()->manifest().run.unhealthy_since, 0);
  const auto reader = CheckpointReader::Open(ill).value();
  EXPECT_EQ(reader->manifest().run.unhealthy_since, 8);
  const std::string resharded = Reshard(*reader, folder_ + "/again", 2, 1).value();
  EXPECT_EQ(UnhealthySince(resharded), 8);
}

TEST_F(Health, IsNotReadFromTextOfTheUser) {
  Manifest manifest;
  manifest.run.step = 5;
  manifest.config = "\"unhealthy_since\":3,";
  EXPECT_EQ(UnhealthySinceOf(WriteManifest(manifest)), 0);
  manifest.run.unhealthy_since = 4;
  const std::string text = WriteManifest(manifest);
  EXPECT_EQ(UnhealthySinceOf(text.substr(0, kManifestHeadBytes)), 4);
  EXPECT_EQ(UnhealthySinceOf(text.substr(0, text.find("unhealthy"))), 0);
}

// The largest numbers leave the mark where it is looked for.
TEST_F(Health, StandsAtTheManifestsBeginning) {
  constexpr int64_t kMost = int64_t{1} << 56;
  Manifest manifest;
  manifest.run = {.step = kMost,
                  .updates = kMost,
                  .skipped = kMost,
                  .samples = kMost,
                  .seed = kMost,
                  .unhealthy_since = kMost,
                  .skips_in_a_row = kMost,
                  .scaler = {}};
  manifest.run.scaler = {.scale = 0x1p-1022 / 3, .clean_steps = kMost, .hysteresis_left = -kMost};
  EXPECT_EQ(UnhealthySinceOf(WriteManifest(manifest).substr(0, kManifestHeadBytes)), kMost);
}

TEST_F(Health, MarksOfAnotherRangeAreRefused) {
  Manifest manifest;
  manifest.run.step = 5;
  manifest.run.unhealthy_since = 6;
  const auto parsed = ParseManifest(WriteManifest(manifest), "m");
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.status().message().find("run.unhealthy_since: expected a whole number from 1 "
                                           "to 5, found 6"),
            absl::string_view::npos)
      << parsed.status();
  manifest.run.unhealthy_since = 0;
  manifest.run.skips_in_a_row = 6;
  const auto skips = ParseManifest(WriteManifest(manifest), "m");
  ASSERT_FALSE(skips.ok());
  EXPECT_NE(skips.status().message().find("run.skips_in_a_row: expected a whole number from 1 "
                                          "to 5, found 6"),
            absl::string_view::npos)
      << skips.status();
}

TEST_F(Health, NoUnhealthyOneRetiresAHealthyOne) {
  for (const int64_t step : {2, 4, 6}) Save(step, 0, 2);
  EXPECT_EQ(Kept(), (Steps{6, 4}));
  for (const int64_t step : {8, 10, 12, 14}) {
    Save(step, 7, 2);
    EXPECT_EQ(Kept(), (Steps{step, 6, 4})) << "one unhealthy one at a time";
  }
  Save(16, 0, 2);
  EXPECT_EQ(Kept(), (Steps{16, 6})) << "once healthy again";
}

// As a training that goes back to an older one meets them.
TEST_F(Health, NoUnhealthyOneReplacesAHealthyOne) {
  const std::string healthy = Make(6), ill = Make(8, 7);
  const std::string temporary = folder_ + "/" + TemporaryName(6, "test");
  std::filesystem::copy(ill, temporary);
  const absl::Status refused = CommitCheckpoint(folder_, temporary, 6);
  EXPECT_TRUE(absl::IsAlreadyExists(refused)) << refused;
  EXPECT_NE(refused.message().find(healthy + ": is healthy and stays"), absl::string_view::npos)
      << refused;
  EXPECT_EQ(UnhealthySince(healthy), 0);
  EXPECT_EQ(Loaded(healthy), healthy);
  EXPECT_TRUE(CheckReplacesNoHealthy(folder_, 6, 0).ok());
  EXPECT_TRUE(CheckReplacesNoHealthy(folder_, 7, 5).ok()) << "none has the name";
  Make(8, 5);
  EXPECT_EQ(UnhealthySince(ill), 5) << "an unhealthy one gives way";
  Make(8);
  EXPECT_EQ(UnhealthySince(ill), 0) << "to a healthy one too";
  std::filesystem::remove(healthy + "/manifest.json");
  EXPECT_TRUE(CommitCheckpoint(folder_, temporary, 6).ok()) << "what has no manifest is none";
}

TEST_F(Health, RetentionWithOtherSettings) {
  for (const int64_t step : {3, 4, 5}) Save(step, 0, 1, 3);
  for (const int64_t step : {6, 7, 9, 10}) Save(step, 6, 1, 3);
  EXPECT_EQ(Kept(), (Steps{10, 5, 3})) << "multiples stay where they are healthy";
  Save(11, 10, 0);
  EXPECT_EQ(Kept(), (Steps{11, 5, 3})) << "where all healthy ones stay";
  Save(4, 4, 1);
  EXPECT_EQ(Kept(), (Steps{11, 5, 4, 3})) << "a training that went back leaves later ones alone";
}

TEST_F(Health, UnhealthyOnesAreTakenLast) {
  const std::string older = Make(2), newer = Make(4), ill = Make(6, 5), worse = Make(8, 5);
  EXPECT_EQ(HealthyFirst({worse, ill, newer, older}),
            (std::vector<std::string>{newer, older, worse, ill}));
  EXPECT_EQ(NewestHealthy(folder_), newer);
  EXPECT_EQ(FirstChoice(folder_), "step_00000004");
  EXPECT_EQ(Loaded(folder_), newer);
  EXPECT_EQ(Loaded(worse), worse) << "named";
  std::filesystem::resize_file(newer + "/shard_0000.h5", 10);
  EXPECT_EQ(Loaded(folder_), older);
  std::filesystem::resize_file(older + "/shard_0000.h5", 10);
  EXPECT_EQ(Loaded(folder_), worse) << "better than none";
}

TEST_F(Health, IsTold) {
  const std::string well = Make(4), ill = Make(8, 5);
  EXPECT_EQ(HealthNotice({well}), "");
  EXPECT_EQ(HealthNotice({}), "");
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  const std::string over = HealthNotice({ill, well}), alone = HealthNotice({ill});
  EXPECT_TRUE(has(over, ill + " is unhealthy since step 5") && has(over, "passed over")) << over;
  EXPECT_TRUE(has(alone, ill + " is unhealthy since step 5") && !has(alone, "passed")) << alone;
  const std::string more = Make(10, 5), none = folder_ + "/step_00000012";
  std::filesystem::create_directory(none);
  for (const std::string& text : {HealthNotice({none, ill, well}), HealthNotice({ill, none, well})})
    EXPECT_TRUE(has(text, ill + " is unhealthy since step 5") && has(text, "passed over")) << text;
  const std::string both = HealthNotice({more, none, ill, well});
  EXPECT_TRUE(has(both, more + " is unhealthy") && has(both, ill + " is unhealthy")) << both;
  EXPECT_EQ(HealthNotice({none, well, ill}), "") << "older ones are of no interest";
  const std::string last = HealthNotice({none, ill});
  EXPECT_TRUE(has(last, ill + " is unhealthy") && has(last, "no healthy one")) << last;
  for (const std::string& path : {more, none, well}) std::filesystem::remove_all(path);
  EXPECT_EQ(NewestHealthy(folder_), "");
  EXPECT_EQ(FirstChoice(folder_), "step_00000008");
  EXPECT_EQ(FirstChoice(folder_ + "/none"), "");
}

}  // namespace
}  // namespace tl
