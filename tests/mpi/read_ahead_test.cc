// SPDX-License-Identifier: Apache-2.0
// The batches of a step are read while the step before runs; a training does not show it.
#include "grid_run.h"
#include "train/evaluate.h"

namespace tl::test {
namespace {

// The samples of another source, but of one rank's from some sample on, which cannot be read.
class Failing : public DataSource {
 public:
  Failing(std::unique_ptr<DataSource> source, int64_t bad)
      : source_(std::move(source)), bad_(bad) {}
  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    if (first + count > bad_) return absl::DataLossError("a bad token");
    return source_->FillBatch(first, count, length, lookahead, out);
  }
  int64_t SampleCount(int64_t length) const override { return source_->SampleCount(length); }
  int64_t TokenCount() const override { return source_->TokenCount(); }
  double BytesPerToken() const override { return source_->BytesPerToken(); }

 private:
  std::unique_ptr<DataSource> source_;
  int64_t bad_;
};

constexpr int kRuns = 6;

// Trains; of two equal sources in turn nothing that was read ahead is ever used.
Outcome TrainOn(const std::vector<const DataSource*>& sources, const Config& config) {
  Training training = StartTraining(config, World());
  training.stepper->Initialize();
  Outcome outcome;
  for (int i = 0; i < kRuns; ++i) {
    RunStep(*training.stepper, *sources[i % sources.size()], outcome);
    // Reads of others between steps.
    EXPECT_TRUE(Evaluate(training.stepper->engine(), *sources[0], 1).ok());
  }
  outcome.weights = GatherMasters(*training.stepper);
  return outcome;
}

TEST(ReadAhead, ChangesNoBit) {
  const std::unique_ptr<DataSource> one = MakeSource(), two = MakeSource();
  const Config config = With(SmallConfig(), {World().size() / 2, 2});
  const Outcome ahead = TrainOn({one.get()}, config);
  const Outcome now = TrainOn({one.get(), two.get()}, config);
  EXPECT_TRUE(Same(ahead.losses, now.losses));
  EXPECT_TRUE(Same(ahead.norms, now.norms));
  EXPECT_TRUE(Same(ahead.weights, now.weights));
}

TEST(ReadAhead, AllRanksHearOfOnesErrorAtItsStep) {
  constexpr int kGood = 3;
  const Config config = SmallConfig();
  const int64_t good = kGood * config.train.global_batch_size;
  const bool fails = World().rank() == World().size() - 1;
  const Failing source(MakeSource(), fails ? good : int64_t{1} << 40);
  Training training = StartTraining(config, World());
  training.stepper->Initialize();
  for (int i = 0; i < kGood; ++i) {
    const auto result = training.stepper->Run(source);
    ASSERT_TRUE(result.ok()) << "step " << i << ": " << result.status();
  }
  const auto result = training.stepper->Run(source);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("a bad token"), absl::string_view::npos)
      << result.status();
  EXPECT_EQ(training.stepper->run().step, kGood);
  EXPECT_EQ(training.stepper->run().samples, good);
  // What was read ahead for the step is not used in its place.
  const std::unique_ptr<DataSource> mended = MakeSource();
  EXPECT_TRUE(training.stepper->Run(*mended).ok());
}

}  // namespace
}  // namespace tl::test
