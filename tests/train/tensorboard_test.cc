// SPDX-License-Identifier: Apache-2.0
#include "train/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/crc32c.h"

namespace tl {
namespace {

template <typename T>
T Fixed(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// Undoes the mask by TensorFlow's own formula.
uint32_t Unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

std::vector<std::string> ReadRecords(const std::string& bytes) {
  std::vector<std::string> records;
  size_t at = 0;
  while (at < bytes.size()) {
    const auto length = Fixed<uint64_t>(bytes, at);
    EXPECT_EQ(Unmask(Fixed<uint32_t>(bytes, at + 8)), Crc32c(bytes.data() + at, 8));
    records.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(Unmask(Fixed<uint32_t>(bytes, at + 12 + length)),
              Crc32c(records.back().data(), length));
    at += 16 + length;
  }
  EXPECT_EQ(at, bytes.size());
  return records;
}

// The fields of one protocol buffer message: numbers as 64 bits, the rest as bytes.
struct Message {
  std::map<int, uint64_t> numbers;
  std::map<int, std::vector<std::string>> bytes;
};

Message Decode(const std::string& data) {
  Message message;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(data.at(at++));
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < data.size()) {
    const uint64_t tag = varint();
    const int field = static_cast<int>(tag >> 3);
    switch (tag & 7) {
      case 0:
        message.numbers[field] = varint();
        break;
      case 1:
        message.numbers[field] = Fixed<uint64_t>(data, at);
        at += 8;
        break;
      case 2: {
        const uint64_t size = varint();
        message.bytes[field].push_back(data.substr(at, size));
        at += size;
        break;
      }
      case 5:
        message.numbers[field] = Fixed<uint32_t>(data, at);
        at += 4;
        break;
      default:
        ADD_FAILURE() << "wire type " << (tag & 7);
        return message;
    }
  }
  return message;
}

float FloatOf(uint64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  float value;
  std::memcpy(&value, &low, sizeof(value));
  return value;
}

TEST(TensorBoard, KnownBytes) {
  // An empty record: length 0, its masked CRC, no data, the masked CRC of nothing.
  const std::string empty("\x00\x00\x00\x00\x00\x00\x00\x00\x29\x03\x98\x07\xd8\xea\x82\xa2", 16);
  EXPECT_EQ(FrameRecord(""), empty);
}

TEST(TensorBoard, ScalarsReadBack) {
  std::string name = testing::TempDir() + "tensorboardXXXXXX";
  const std::string dir = mkdtemp(name.data());
  std::string path;
  {
    TensorBoardFile file = TensorBoardFile::Open(dir, 41).value();
    path = file.path();
    ASSERT_TRUE(file.Write(300, {{"train/loss", 2.5f}, {"train/lr", 3e-4f}}).ok());
    ASSERT_TRUE(file.Write(int64_t{1} << 40, {{"train/loss", -0.0f}}).ok());
  }
  EXPECT_NE(path.find("/events.out.tfevents."), std::string::npos);
  std::ifstream in(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  const std::vector<std::string> records = ReadRecords(bytes);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(Decode(records[0]).bytes[3][0], "brain.Event:2");
  Message start = Decode(records[1]);
  EXPECT_EQ(start.numbers[2], 42u);
  EXPECT_EQ(Decode(start.bytes[7][0]).numbers[1], 1u);

  Message event = Decode(records[2]);
  EXPECT_EQ(event.numbers[2], 300u);
  Message summary = Decode(event.bytes[5][0]);
  ASSERT_EQ(summary.bytes[1].size(), 2u);
  Message value = Decode(summary.bytes[1][1]);
  EXPECT_EQ(value.bytes[1][0], "train/lr");
  EXPECT_EQ(FloatOf(value.numbers[2]), 3e-4f);
  EXPECT_EQ(Decode(records[3]).numbers[2], uint64_t{1} << 40);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace tl
