// SPDX-License-Identifier: Apache-2.0
#include "engine/input_loader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/kernels/test_device.h"
#include "tests/model/cases.h"

namespace tl {
namespace {

template <typename T>
std::vector<T> Read(const Tensor& x) {
  EXPECT_EQ(x.dtype, DTypeOf<T>::value);
  EXPECT_EQ(x.device, TestDevice());
  std::vector<T> values(static_cast<size_t>(x.elements()));
  CopyBytes(TestStream(), reinterpret_cast<std::byte*>(values.data()), x.data, x.bytes());
  TestStream().Synchronize();
  return values;
}

template <typename T>
std::vector<float> Floats(const Tensor& x) {
  std::vector<float> floats;
  for (const T value : Read<T>(x)) floats.push_back(ToFloat(value));
  return floats;
}

using Ints = std::vector<int32_t>;

TEST(InputLoader, GivesTokensTheirPlacesAndTargets) {
  const BatchShape shape = {.count = 2, .sequence_length = 5, .lookahead = 2};
  InputLoader loader(shape, {.segments = true}, TestDevice(), /*passes=*/1);
  // Read for a model that looks further ahead.
  const HostBatch batch =
      RandomBatch({.count = 2, .length = 5, .vocab = 99, .packed = true, .lookahead = 3});
  const Inputs inputs = loader.Load(TestStream(), batch);
  EXPECT_EQ(inputs.batch, 2);
  EXPECT_EQ(inputs.sequence_length, 5);
  EXPECT_EQ(Read<int32_t>(inputs.tokens), batch.inputs);
  EXPECT_EQ(Read<int32_t>(inputs.positions), batch.positions);
  EXPECT_EQ(Read<int32_t>(inputs.segments), batch.segments);
  for (int offset = 1; offset <= 2; ++offset) {
    const auto targets = batch.targets(offset);
    EXPECT_EQ(Read<int32_t>(inputs.Targets(offset)), Ints(targets.begin(), targets.end()));
  }
  Ints inner = Read<int32_t>(inputs.Targets(1));
  int first_places = 0;
  for (size_t i = 0; i < inner.size(); ++i) {
    if (batch.positions[i] > 0) continue;
    inner[i] = -1;
    ++first_places;
  }
  EXPECT_GE(first_places, 2);
  EXPECT_EQ(Read<int32_t>(inputs.inner_targets), inner);
  EXPECT_FALSE(inputs.values || inputs.value_targets || inputs.features || inputs.weights);
}

// Samples of 3 rows of 5 values: sizes after which nothing is aligned.
HostBatch Samples(int64_t count, float first) {
  HostBatch batch;
  batch.count = count;
  batch.sequence_length = 3;
  const auto numbers = [&](int64_t size, float step) {
    std::vector<float> values;
    for (int64_t i = 0; i < size; ++i) values.push_back(first + step * static_cast<float>(i));
    return values;
  };
  batch.noisy = numbers(count * 15, 1.001f);
  batch.target = numbers(count * 15, -0.7f);
  batch.features = numbers(count * kFeatures, 0.01f);
  batch.weight = numbers(count, 0.5f);
  batch.range = {2, -1, 0};
  batch.range.resize(static_cast<size_t>(count));
  batch.labels.assign(static_cast<size_t>(count), 4);
  batch.labels.back() = -1;
  return batch;
}

template <typename T>
std::vector<float> Rounded(std::vector<float> values) {
  for (float& value : values) value = ToFloat(FromFloat<T>(value));
  return values;
}

template <typename T>
void ExpectSamples() {
  const BatchShape shape = {.count = 3, .sequence_length = 3, .row_values = 5};
  InputLoader loader(shape, {.compute = DTypeOf<T>::value, .classes = 10}, TestDevice(), 1);
  const HostBatch batch = Samples(3, 1.0f);
  const Inputs inputs = loader.Load(TestStream(), batch);
  EXPECT_EQ(inputs.values.shape, Shape({9, 5}));
  EXPECT_EQ(Floats<T>(inputs.values), Rounded<T>(batch.noisy));
  EXPECT_EQ(inputs.features.shape, Shape({3, kFeatures}));
  EXPECT_EQ(Floats<T>(inputs.features), Rounded<T>(batch.features));
  // What the loss is made of keeps all its digits.
  EXPECT_EQ(inputs.value_targets.shape, Shape({9, 5}));
  EXPECT_EQ(Read<float>(inputs.value_targets), batch.target);
  EXPECT_EQ(Read<float>(inputs.weights), batch.weight);
  EXPECT_EQ(Read<int32_t>(inputs.ranges), batch.range);
  EXPECT_EQ(Read<int32_t>(inputs.labels), Ints({4, 4, 10})) << "the last is of no class";
  EXPECT_EQ(Read<int32_t>(inputs.positions), Ints({0, 1, 2, 0, 1, 2, 0, 1, 2}));
  EXPECT_FALSE(inputs.tokens || inputs.segments || inputs.targets || inputs.inner_targets);
}

TEST(InputLoader, RoundsWhatTheModelSeesToTheComputeType) {
  ExpectSamples<float>();
  ExpectSamples<BF16>();
  ExpectSamples<F16>();
}

TEST(InputLoader, LeavesOutWhatSamplesHaveNot) {
  InputLoader loader({.count = 2, .sequence_length = 3, .row_values = 5}, {}, TestDevice(), 1);
  HostBatch batch = Samples(2, 1.0f);
  batch.target.clear();
  batch.weight.clear();
  batch.range.clear();
  batch.labels.clear();
  const Inputs inputs = loader.Load(TestStream(), batch);
  EXPECT_EQ(Read<float>(inputs.values), batch.noisy);
  EXPECT_FALSE(inputs.value_targets || inputs.weights || inputs.ranges || inputs.labels);
}

// Copies of one pass do not wait for those before, but for the pass whose place they take.
TEST(InputLoader, KeepsPassesApart) {
  InputLoader loader({.count = 2, .sequence_length = 3, .row_values = 5}, {.classes = 10},
                     TestDevice(), /*passes=*/2);
  for (int pass = 0; pass < 5; ++pass) {
    const HostBatch batch = Samples(2, static_cast<float>(pass));
    const Inputs inputs = loader.Load(TestStream(), batch);
    EXPECT_EQ(Read<float>(inputs.values), batch.noisy);
    EXPECT_EQ(Read<float>(inputs.value_targets), batch.target);
  }
}

TEST(HostBatchDeathTest, OfAnotherSizeIsRefused) {
  InputLoader loader({.count = 2, .sequence_length = 3, .row_values = 5}, {}, TestDevice(), 1);
  EXPECT_DEATH(loader.Load(TestStream(), Samples(3, 0.0f)), "9 vs 6");
  HostBatch batch = Samples(2, 0.0f);
  batch.noisy.pop_back();
  EXPECT_DEATH(loader.Load(TestStream(), batch), "29 vs 30");
}

TEST(HostBatch, TellsItsBytes) {
  const BatchShape tokens = {.count = 2, .sequence_length = 5, .lookahead = 3};
  const auto own = static_cast<int64_t>(sizeof(HostBatch));
  const HostBatch text = RandomBatch({.count = 2, .length = 5, .vocab = 99, .lookahead = 3});
  EXPECT_EQ(
      HostBatch::Bytes(tokens) - own,
      static_cast<int64_t>(4 * (text.tokens.size() + text.inputs.size() + text.positions.size() +
                                text.segments.size() + text.targets_storage.size())));
  HostBatch batch = Samples(2, 0.0f);
  batch.values = batch.noisy;
  batch.samples = {7, 8};
  batch.constant = {0.5, 0.25};
  EXPECT_EQ(
      HostBatch::Bytes({.count = 2, .sequence_length = 3, .row_values = 5}) - own,
      static_cast<int64_t>(4 * (batch.values.size() + batch.noisy.size() + batch.target.size() +
                                batch.features.size() + batch.weight.size() + batch.range.size() +
                                batch.labels.size()) +
                           8 * (batch.samples.size() + batch.constant.size())));
}

}  // namespace
}  // namespace tl
