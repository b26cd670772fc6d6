// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace tl {
namespace {

// The definition, bit by bit.
uint32_t Slow(const std::vector<uint8_t>& data) {
  uint32_t crc = 0xffffffffu;
  for (const uint8_t byte : data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0u);
  }
  return ~crc;
}

TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(Crc32c("", 0), 0u);
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283u);
  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c(std::vector<uint8_t>(32, 0).data(), 32), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::vector<uint8_t>(32, 0xff).data(), 32), 0x62a8ab43u);
  std::vector<uint8_t> rising(32);
  std::iota(rising.begin(), rising.end(), 0);
  EXPECT_EQ(Crc32c(rising.data(), 32), 0x46dd794eu);
}

TEST(Crc32c, EveryLengthAlignmentAndCut) {
  std::vector<uint8_t> memory(300);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<uint8_t>(i * 37 + i / 7);
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size = 0; size < 100; ++size) {
      const std::vector<uint8_t> data(&memory[begin], &memory[begin + size]);
      ASSERT_EQ(Crc32c(&memory[begin], size), Slow(data));
      const size_t cut = size / 3;
      const uint32_t front = Crc32c(&memory[begin], cut);
      ASSERT_EQ(ExtendCrc32c(front, &memory[begin + cut], size - cut), Slow(data));
    }
  }
}

// Long data are taken in three streams side by side, 12 KiB at a time.
TEST(Crc32c, LongDataInStreams) {
  std::vector<uint8_t> memory(40'000);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<uint8_t>(i * 37 + i / 7);
  for (const size_t size : {12'287, 12'288, 12'289, 24'576, 36'871}) {
    for (const size_t begin : {0, 1, 7}) {
      const std::vector<uint8_t> data(&memory[begin], &memory[begin + size]);
      ASSERT_EQ(Crc32c(&memory[begin], size), Slow(data)) << size << " " << begin;
      const uint32_t front = Crc32c(&memory[begin], size - 5);
      ASSERT_EQ(ExtendCrc32c(front, &memory[begin + size - 5], 5), Slow(data));
    }
  }
}

}  // namespace
}  // namespace tl
