// SPDX-License-Identifier: Apache-2.0
// The average of weights in training: as its fp64 twin has it, nothing to what is trained, and what
// evaluations see.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/engine/rig.h"
#include "tests/reference/adamw.h"
#include "train/evaluate.h"

namespace tl {
namespace {

using reference::Doubles;
using reference::Params;

constexpr Precision kPrecisions[] = {Precision::kFp32, Precision::kBf16, Precision::kFp16};

Config AverageConfig(Precision precision, double ema) {
  Config config = SmallConfig();
  config.model.qkv_bias = config.model.qk_norm = true;
  config.model.tie_embeddings = false;
  config.precision.compute = precision;
  config.precision.initial_loss_scale = 0x1p21;  // overflows at first
  config.optimizer.lr = 1e-2;
  config.optimizer.ema = ema;
  return config;
}

// Everything in the compute type, padding included.
std::vector<std::byte> WeightsOf(Rig& rig) {
  Stream& stream = rig->engine().stream();
  const Tensor flat = rig->engine().weights().flat;
  std::vector<std::byte> host(static_cast<size_t>(flat.bytes()));
  CopyBytes(stream, host.data(), flat.data, host.size());
  stream.Synchronize();
  return host;
}

float HeldOutLoss(Rig& rig) {
  RandomSource held_out({.vocab = rig->model().options().model.vocab});
  held_out.samples = 8;
  return rig->Evaluate(held_out, 0).value().loss;
}

TEST(AverageRate, RisesToTheDecay) {
  EXPECT_DOUBLE_EQ(AverageRate(0.999, 0), 0.9);
  EXPECT_DOUBLE_EQ(AverageRate(0.999, 1), 9.0 / 11.0);
  EXPECT_DOUBLE_EQ(AverageRate(0.999, 100), 9.0 / 110.0);
  EXPECT_DOUBLE_EQ(AverageRate(0.999, 1'000'000), 1.0 - 0.999);
  EXPECT_DOUBLE_EQ(AverageRate(0.05, 0), 0.95);
}

// From the trained weights of every step; the cap of 0.3 is met in the fourth update.
TEST(Average, EqualsTheTwin) {
  for (const Precision precision : kPrecisions) {
    Rig rig(AverageConfig(precision, 0.3));
    Params twin = rig.Master();
    EXPECT_EQ(rig.State(2), twin) << "starts as the weights";
    for (int64_t updates = 0; updates < 6;) {
      const StepResult result = rig.Run();
      const auto n = static_cast<double>(updates);
      const double decay = std::fmin(0.3, (1.0 + n) / (10.0 + n));
      if (result.skipped) {
        EXPECT_EQ(rig.State(2), twin) << Name(precision) << ", update " << updates;
        continue;
      }
      const Params master = rig.Master(), kept = rig.State(2);
      for (auto& [name, average] : twin) {
        reference::Average(average, master.at(name), 1.0 - decay);
        EXPECT_LE(RelativeError(kept.at(name), average), 1e-6)
            << name << ", " << Name(precision) << ", update " << updates;
        average = kept.at(name);  // so that the error is of one update
      }
      ++updates;
      ASSERT_EQ(rig->run().updates, updates);
    }
    if (precision == Precision::kFp16) {
      EXPECT_GT(rig->run().skipped, 0) << "the test's point";
    }
  }
}

// Neither the average nor evaluations of it between the steps change a bit of the training.
TEST(Average, ChangesNothingThatIsTrained) {
  for (const Precision precision : kPrecisions) {
    Rig plain(AverageConfig(precision, 0.0)), averaged(AverageConfig(precision, 0.9));
    for (int step = 0; step < 5; ++step) {
      const StepResult a = plain.Run(), b = averaged.Run();
      EXPECT_EQ(a.loss, b.loss) << Name(precision) << " " << step;
      EXPECT_EQ(a.skipped, b.skipped);
      if (!a.skipped) {
        EXPECT_EQ(a.grad_norm, b.grad_norm);
      }
      const Params average = averaged.State(2);
      HeldOutLoss(averaged);
      EXPECT_EQ(averaged.State(2), average);
      EXPECT_EQ(averaged.Master(), plain.Master()) << Name(precision) << " " << step;
      EXPECT_TRUE(WeightsOf(averaged) == WeightsOf(plain)) << Name(precision) << " " << step;
    }
    EXPECT_EQ(averaged.State(0), plain.State(0));
    EXPECT_EQ(averaged.State(1), plain.State(1));
  }
}

TEST(Average, IsWhatEvaluationsSee) {
  for (const Precision precision : kPrecisions) {
    Rig rig(AverageConfig(precision, 0.9)), other(AverageConfig(precision, 0.0));
    for (int step = 0; step < 8; ++step) rig.Run();
    other.SetWeights(rig.State(2));
    EXPECT_EQ(HeldOutLoss(rig), HeldOutLoss(other)) << Name(precision);
    other.SetWeights(rig.Master());
    EXPECT_NE(HeldOutLoss(rig), HeldOutLoss(other)) << Name(precision);
  }
}

// An evaluation that fails leaves the weights too.
TEST(Average, SurvivesAnEvaluationWithoutData) {
  class Broken : public RandomSource {
   public:
    using RandomSource::RandomSource;
    absl::Status FillBatch(int64_t, int64_t, int64_t, int64_t, HostBatch*) const override {
      return absl::DataLossError("no data");
    }
  };
  Rig rig(AverageConfig(Precision::kBf16, 0.9));
  for (int step = 0; step < 3; ++step) rig.Run();
  const Params master = rig.Master(), average = rig.State(2);
  const std::vector<std::byte> weights = WeightsOf(rig);
  Broken broken(BatchOptions{});
  broken.samples = 8;
  EXPECT_EQ(rig->Evaluate(broken, 0).status().message(), "no data");
  EXPECT_EQ(rig.Master(), master);
  EXPECT_EQ(rig.State(2), average);
  EXPECT_TRUE(WeightsOf(rig) == weights);
}

// Planned as a row of its own, and as much as is taken.
TEST(Average, IsPlanned) {
  const auto row = [](const Stepper& stepper, const std::string& name) -> int64_t {
    for (const MemoryRow& r : stepper.MemoryPlan()) {
      if (r.name == name) return r.bytes;
    }
    return 0;
  };
  for (const Precision precision : kPrecisions) {
    Rig plain(AverageConfig(precision, 0.0)), averaged(AverageConfig(precision, 0.9));
    const std::string state = "master weights and optimizer state", average = "average of weights";
    EXPECT_EQ(row(*plain, average), 0);
    EXPECT_EQ(row(*averaged, average), plain->engine().params().trainable_elements() * 4);
    EXPECT_EQ(row(*averaged, state), row(*plain, state));
    EXPECT_EQ(row(*averaged, state) + row(*averaged, average),
              averaged->state().master_bytes() + averaged->state().state_bytes());
    EXPECT_EQ(averaged->CheckpointBytes(true) - plain->CheckpointBytes(true),
              row(*averaged, average));
  }
}

}  // namespace
}  // namespace tl
