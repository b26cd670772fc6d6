// SPDX-License-Identifier: Apache-2.0
// What a denoiser is trained on: targets that give the data back, draws that know nothing of the
// batch, and a bound that is the entropy where the denoiser is exact.
#include "objective/noising.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "base/normals.h"
#include "base/philox.h"

namespace tl {
namespace {

constexpr int64_t kRows = 4, kRowValues = 16, kValues = kRows * kRowValues;

Noising Make(const std::string& process, const NoisingOptions& like) {
  NoisingOptions options = like;
  options.process = Process(*FindProcessKind(process), {});
  options.prediction = options.process.kind().prediction;
  options.times = options.process.kind().times;
  return Noising(options);
}

Noising Make(const std::string& process) {
  return Make(process, {.process = Process(*FindProcessKind(process), {}),
                        .prediction = Prediction::kEdm,
                        .times = TrainingTimes::kUniform});
}

// Normal numbers of this deviation, sample by sample.
HostBatch Clean(int64_t first, int64_t count, double deviation) {
  HostBatch batch;
  batch.count = count;
  batch.sequence_length = kRows;
  for (int64_t b = 0; b < count; ++b) {
    batch.samples.push_back(first + b);
    batch.labels.push_back(static_cast<int32_t>((first + b) % 10));
    for (int64_t i = 0; i < kValues; ++i)
      batch.values.push_back(
          static_cast<float>(deviation * PhiloxNormal(7, (first + b) * kValues + i)));
  }
  return batch;
}

double MeanSquare(const std::vector<float>& values) {
  double sum = 0.0;
  for (const float v : values) sum += double{v} * v;
  return sum / static_cast<double>(values.size());
}

TEST(NoisingTest, TargetsGiveTheDataBack) {
  for (const ProcessKind& kind : ProcessKinds()) {
    SCOPED_TRACE(kind.name);
    const Noising noising = Make(kind.name);
    HostBatch batch = Clean(0, 64, 0.5);
    noising.Apply(BatchUse::kTraining, &batch);
    const uint64_t offset = StreamKey("noising.training.time", 1);
    for (int64_t b = 0; b < batch.count; ++b) {
      const double noise = TrainingNoise(noising.process(), kind.times, KroneckerPoint(offset, b));
      const Coefficients c = CoefficientsAt(noising.process(), noising.prediction(), noise);
      // In fp32 an error of F comes back `out` times as large, one of x̂ `skip` times.
      const double tolerance = 4e-7 * (1.0 + std::abs(c.out) + std::abs(c.skip / c.in));
      for (int64_t i = b * kValues; i < (b + 1) * kValues; ++i) {
        ASSERT_NEAR(CleanOf(c, batch.noisy[i] / c.in, batch.target[i]), batch.values[i],
                    8 * tolerance);
      }
      std::vector<float> features(kFeatures);
      LevelFeatures(c.level, absl::MakeSpan(features));
      EXPECT_TRUE(
          std::equal(features.begin(), features.end(), batch.features.begin() + b * kFeatures));
      EXPECT_EQ(batch.range[b], noising.Quarter(noise));
      EXPECT_EQ(batch.weight[b], 1.0f);
    }
  }
}

TEST(NoisingTest, EdmScalesInputsAndTargetsToOne) {
  const Noising noising = Make("edm");
  HostBatch batch = Clean(0, 1000, 0.5);
  noising.Apply(BatchUse::kTraining, &batch);
  EXPECT_NEAR(MeanSquare(batch.noisy), 1.0, 0.02);
  EXPECT_NEAR(MeanSquare(batch.target), 1.0, 0.02);
}

// Where F is not the noise, losses that are even in ln σ̂ need a weight to be the likelihood's.
TEST(NoisingTest, LikelihoodTimesWeighLosses) {
  const Process process(*FindProcessKind("edm"), {});
  const uint64_t offset = StreamKey("noising.training.time", 1);
  for (const Prediction prediction :
       {Prediction::kNoise, Prediction::kEdm, Prediction::kVelocity}) {
    const Noising noising(
        {.process = process, .prediction = prediction, .times = TrainingTimes::kLikelihood});
    HostBatch batch = Clean(0, 64, 0.5);
    noising.Apply(BatchUse::kTraining, &batch);
    for (int64_t b = 0; b < batch.count; ++b) {
      const double noise =
          TrainingNoise(process, TrainingTimes::kLikelihood, KroneckerPoint(offset, b));
      const double out = CoefficientsAt(process, prediction, noise).out;
      EXPECT_NEAR(batch.weight[b], out * out / (noise * noise), 1e-6 * batch.weight[b]);
      if (prediction == Prediction::kNoise) {
        EXPECT_FLOAT_EQ(batch.weight[b], 1.0f);
      }
    }
  }
}

TEST(NoisingTest, DrawsKnowTheSampleAlone) {
  const Noising noising = Make("vp");
  for (const BatchUse use : {BatchUse::kTraining, BatchUse::kEvaluation, BatchUse::kBound}) {
    HostBatch whole = Clean(40, 6, 0.5);
    noising.Apply(use, &whole);
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 2}, {2, 1}, {3, 3}}) {
      HostBatch part = Clean(40 + begin, count, 0.5);
      noising.Apply(use, &part);
      EXPECT_TRUE(
          std::equal(part.noisy.begin(), part.noisy.end(), whole.noisy.begin() + begin * kValues));
      EXPECT_TRUE(std::equal(part.target.begin(), part.target.end(),
                             whole.target.begin() + begin * kValues));
      EXPECT_TRUE(std::equal(part.weight.begin(), part.weight.end(), whole.weight.begin() + begin));
      EXPECT_TRUE(
          std::equal(part.constant.begin(), part.constant.end(), whole.constant.begin() + begin));
    }
  }
}

TEST(NoisingTest, UsesAndSeedsDrawApart) {
  NoisingOptions options{.process = Process(*FindProcessKind("ve"), {}),
                         .prediction = Prediction::kNoise,
                         .times = TrainingTimes::kUniform};
  const Noising one = Make("ve", options);
  options.seed = 2;
  const Noising two = Make("ve", options);
  const auto noisy = [](const Noising& noising, BatchUse use) {
    HostBatch batch = Clean(0, 2, 0.5);
    noising.Apply(use, &batch);
    return batch.noisy;
  };
  EXPECT_NE(noisy(one, BatchUse::kTraining), noisy(two, BatchUse::kTraining));
  EXPECT_NE(noisy(one, BatchUse::kTraining), noisy(one, BatchUse::kEvaluation));
  EXPECT_NE(noisy(one, BatchUse::kBound), noisy(one, BatchUse::kEvaluation));
  EXPECT_EQ(noisy(one, BatchUse::kEvaluation), noisy(two, BatchUse::kEvaluation));
}

TEST(NoisingTest, LabelsAreHiddenInTrainingAlone) {
  NoisingOptions options{.process = Process(*FindProcessKind("edm"), {}),
                         .prediction = Prediction::kEdm,
                         .times = TrainingTimes::kLognormal,
                         .classes = 10,
                         .label_drop = 0.25};
  const Noising noising = Make("edm", options);
  constexpr int64_t kCount = 4000;
  HostBatch batch = Clean(0, kCount, 0.5);
  batch.labels[5] = -1;
  HostBatch evaluated = batch;
  noising.Apply(BatchUse::kTraining, &batch);
  int64_t hidden = 0;
  for (int64_t b = 0; b < kCount; ++b) {
    hidden += batch.labels[b] == 10;
    if (batch.labels[b] != 10) {
      ASSERT_EQ(batch.labels[b], b % 10);
    }
  }
  EXPECT_NEAR(static_cast<double>(hidden) / kCount, 0.25, 4 * std::sqrt(.25 * .75 / kCount));
  noising.Apply(BatchUse::kEvaluation, &evaluated);
  EXPECT_EQ(evaluated.labels[5], 10);
  for (int64_t b = 6; b < kCount; ++b) ASSERT_EQ(evaluated.labels[b], b % 10);
}

TEST(NoisingTest, SamplesBeyondTheEndDoNotCount) {
  const Noising noising = Make("edm");
  HostBatch batch = Clean(0, 3, 0.5);
  batch.samples[1] = -1;
  noising.Apply(BatchUse::kBound, &batch);
  EXPECT_GT(batch.weight[0], 0.0f);
  EXPECT_EQ(batch.weight[1], 0.0f);
  EXPECT_EQ(batch.range[1], -1);
  EXPECT_EQ(batch.constant[1], 0.0);
  EXPECT_EQ(MeanSquare({batch.noisy.begin() + kValues, batch.noisy.begin() + 2 * kValues}), 0.0);
}

// Of data N(0, s^2) the exact denoiser is x̂ s^2 / (s^2 + σ̂^2), and the bound then is the entropy of
// N(0, s^2 + σ̂min^2), for every process.
TEST(NoisingTest, TheBoundOfAnExactDenoiserIsTheEntropy) {
  constexpr double kDeviation = 0.5;
  constexpr int64_t kCount = 8000;
  for (const ProcessKind& kind : ProcessKinds()) {
    SCOPED_TRACE(kind.name);
    const Noising noising = Make(kind.name);
    HostBatch batch = Clean(0, kCount, kDeviation);
    noising.Apply(BatchUse::kBound, &batch);
    const uint64_t offset = StreamKey("noising.bound.time", 0);
    double bound = 0.0;
    for (int64_t b = 0; b < kCount; ++b) {
      const double noise =
          TrainingNoise(noising.process(), TrainingTimes::kLikelihood, KroneckerPoint(offset, b));
      const Coefficients c = CoefficientsAt(noising.process(), noising.prediction(), noise);
      const double s2 = kDeviation * kDeviation;
      double squares = 0.0;
      for (int64_t i = b * kValues; i < (b + 1) * kValues; ++i) {
        const double x_hat = batch.noisy[i] / c.in;
        const double f = TargetOf(c, x_hat, x_hat * s2 / (s2 + noise * noise));
        squares += (f - batch.target[i]) * (f - batch.target[i]);
      }
      bound += batch.weight[b] * squares / kValues + batch.constant[b];
    }
    bound /= kCount;
    const double low = noising.process().noise_min();
    const double entropy = 0.5 * std::log(2 * std::numbers::pi * std::numbers::e *
                                          (kDeviation * kDeviation + low * low));
    // A square of a normal number has the variance 2.
    const double range = std::log(noising.process().noise_max() / low);
    EXPECT_NEAR(bound, entropy, 4.0 * range * std::sqrt(2.0 / (kCount * kValues)));
  }
}

}  // namespace
}  // namespace tl
