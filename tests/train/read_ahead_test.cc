// SPDX-License-Identifier: Apache-2.0
#include "train/read_ahead.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace tl {
namespace {

constexpr int64_t kMicroBatches = 3;  // of one sample, of one token that is its number and a salt

class Numbers : public DataSource {
 public:
  explicit Numbers(int32_t salt = 0) : salt_(salt) {}
  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    ++reads;
    reader = std::this_thread::get_id();
    while (held) std::this_thread::yield();
    if (first >= bad) return absl::DataLossError("sample " + std::to_string(first) + " is bad");
    out->count = count;
    out->sequence_length = length;
    out->lookahead = lookahead;
    out->inputs.assign(count * length, static_cast<int32_t>(first) + salt_);
    out->targets_storage.assign(count * length * lookahead, first % 2 == 0 ? 1 : -1);
    return absl::OkStatus();
  }
  int64_t SampleCount(int64_t) const override { return -1; }
  int64_t TokenCount() const override { return 0; }
  double BytesPerToken() const override { return 0.0; }

  int64_t bad = 1 << 20;  // from here on samples cannot be read
  mutable std::atomic<int> reads = 0;
  mutable std::atomic<std::thread::id> reader;
  std::atomic<bool> held = false;  // a read lasts until it is not

 private:
  int32_t salt_;
};

ReadAhead MakeReader() {
  return ReadAhead(
      kMicroBatches,
      [](const DataSource& data, int64_t first, int64_t i, HostBatch* out) {
        return data.FillBatch(first + i, 1, 1, 2, out);
      },
      [](const HostBatch& batch) {
        return std::vector<int64_t>{batch.TargetCount(1), batch.TargetCount(2)};
      });
}

void ExpectBatches(const absl::StatusOr<const StepBatches*>& got, int64_t first, int32_t salt = 0) {
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ((*got)->micro.size(), static_cast<size_t>(kMicroBatches));
  int64_t even = 0;
  for (int64_t i = 0; i < kMicroBatches; ++i) {
    EXPECT_EQ((*got)->micro[i].inputs,
              std::vector<int32_t>{static_cast<int32_t>(first + i) + salt});
    even += (first + i) % 2 == 0;
  }
  EXPECT_EQ((*got)->targets, std::vector<int64_t>(2, even));
}

TEST(ReadAhead, ReadsTheNextStepBesideThisOne) {
  ReadAhead reader = MakeReader();
  Numbers source;
  for (int64_t first = 0; first < 30; first += kMicroBatches) {
    const absl::StatusOr<const StepBatches*> now = reader.Take(source, first);
    source.held = true;
    reader.Start(source, first + kMicroBatches);  // would never return if it read
    ExpectBatches(now, first);
    source.held = false;
    reader.Wait();
    ExpectBatches(now, first);
    EXPECT_NE(source.reader, std::this_thread::get_id());
    EXPECT_EQ(source.reads, first + 2 * kMicroBatches);  // each sample once
  }
}

TEST(ReadAhead, AnErrorIsThatOfItsStep) {
  ReadAhead reader = MakeReader();
  Numbers source;
  source.bad = 4;
  ExpectBatches(reader.Take(source, 0), 0);
  reader.Start(source, 3);
  reader.Wait();
  for (int again = 0; again < 2; ++again) {
    const absl::StatusOr<const StepBatches*> bad = reader.Take(source, 3);
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.status().message(), "sample 4 is bad");
  }
  source.bad = 100;
  ExpectBatches(reader.Take(source, 3), 3);
  // One that nobody takes is nobody's.
  source.bad = 6;
  reader.Start(source, 6);
  reader.Wait();
  ExpectBatches(reader.Take(source, 0), 0);
}

TEST(ReadAhead, AnotherPlaceOrSourceIsReadNow) {
  ReadAhead reader = MakeReader();
  std::optional<Numbers> source(std::in_place, 0);
  const auto start = [&] {
    reader.Start(*source, 3);
    reader.Wait();
  };
  start();
  ExpectBatches(reader.Take(*source, 9), 9);
  start();
  const Numbers other(50);
  ExpectBatches(reader.Take(other, 3), 3, 50);
  ExpectBatches(reader.Take(*source, 3), 3);
  start();
  source.emplace(70);  // at the same address
  ExpectBatches(reader.Take(*source, 3), 3, 70);
}

TEST(ReadAhead, EndsWithWhatItReads) {
  Numbers source;
  {
    ReadAhead reader = MakeReader();
    reader.Start(source, 0);
  }
  EXPECT_EQ(source.reads, kMicroBatches);
}

}  // namespace
}  // namespace tl
