// SPDX-License-Identifier: Apache-2.0
// safetensors files, good and bad.
#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/data/temp_folder.h"

namespace tl {
namespace {

std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::string Write(const std::string& bytes) {
  const std::string path = Folder() + "/file.safetensors";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

// A file of this header, padded as it is, and this many bytes of data.
std::string WithHeader(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header +
         std::string(data_bytes, 'x');
}

void ExpectBad(const std::string& bytes, const std::string& part) {
  const std::string path = Write(bytes);
  const auto reader = SafetensorsReader::Open(path);
  ASSERT_FALSE(reader.ok()) << "accepted: " << part;
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(reader.status().message());
  EXPECT_EQ(message.rfind(path + ": not a valid safetensors file: ", 0), 0u) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message << "\nexpected: " << part;
}

std::string Entry(const std::string& rest) { return "{\"w\":" + rest + "}"; }

TEST(Safetensors, RoundTrip) {
  const std::string path = Folder() + "/round.safetensors";
  const std::vector<float> w = {1.0f, -2.5f, 0.0f, 1e-30f, 3.0f, -0.0f};
  const std::vector<BF16> b = {FromFloat<BF16>(1.5f), FromFloat<BF16>(-3.0f)};
  const std::vector<F16> h = {FromFloat<F16>(0.333f)};
  const std::vector<int64_t> n = {1, -1};
  auto writer = SafetensorsWriter::Create(path,
                                          {{.name = "w \"quoted\" \u00e9", .shape = {2, 3}},
                                           {.name = "empty", .shape = {0, 4}},
                                           {.name = "b", .dtype = DType::kBF16, .shape = {2}},
                                           {.name = "h", .dtype = DType::kF16, .shape = {1}},
                                           {.name = "n", .dtype = DType::kI64, .shape = {2}},
                                           {.name = "scalar", .shape = {}}},
                                          {{"format", "pt"}})
                    .value();
  const float scalar = 7.0f;
  ASSERT_TRUE(writer->Append(w.data(), 8).ok());
  ASSERT_TRUE(writer->Append(w.data() + 2, 16).ok());
  ASSERT_TRUE(writer->Append(nullptr, 0).ok());
  ASSERT_TRUE(writer->Append(b.data(), 4).ok());
  ASSERT_TRUE(writer->Append(h.data(), 2).ok());
  ASSERT_TRUE(writer->Append(n.data(), 16).ok());
  ASSERT_TRUE(writer->Append(&scalar, 4).ok());
  ASSERT_TRUE(writer->Finish().ok());

  const auto reader = SafetensorsReader::Open(path).value();
  EXPECT_EQ(reader->tensors().size(), 6u);
  const auto read = [&](const std::string& name, const std::vector<int64_t>& shape, int64_t begin,
                        int64_t count) {
    std::vector<float> out(static_cast<size_t>(count), -1.0f);
    const auto tensor = reader->Find(name, shape);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_TRUE(reader->Read(**tensor, begin, count, out.data()).ok());
    return out;
  };
  EXPECT_EQ(0, std::memcmp(read("w \"quoted\" \u00e9", {2, 3}, 0, 6).data(), w.data(), 24));
  EXPECT_EQ(read("w \"quoted\" \u00e9", {2, 3}, 1, 2), (std::vector<float>{-2.5f, 0.0f}));
  EXPECT_EQ(read("empty", {0, 4}, 0, 0), std::vector<float>{});
  EXPECT_EQ(read("b", {2}, 0, 2), (std::vector<float>{1.5f, -3.0f}));
  EXPECT_EQ(read("h", {1}, 0, 1), std::vector<float>{ToFloat(h[0])});
  EXPECT_EQ(read("scalar", {}, 0, 1), std::vector<float>{7.0f});

  const absl::Status shape = reader->Find("b", {3}).status();
  EXPECT_EQ(shape.message(), path + ": tensor \"b\" has the shape [2], the model needs [3]");
  const absl::Status name = reader->Find("c", {3, 1}).status();
  EXPECT_EQ(name.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(name.message(), path + ": no tensor \"c\" of shape [3, 1]");
  float out[2];
  EXPECT_EQ(reader->Read(**reader->Find("n", {2}), 0, 2, out).message(),
            path + ": tensor \"n\" is int64, expected fp32, bf16 or fp16");
}

TEST(Safetensors, LayoutIsTheFormats) {
  const std::string path = Folder() + "/layout.safetensors";
  const float x[2] = {1.0f, 2.0f};
  auto writer = SafetensorsWriter::Create(path, {{.name = "x", .shape = {2}}}, {}).value();
  ASSERT_TRUE(writer->Append(x, 8).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const std::string bytes = Bytes(path);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + header + 8);
  EXPECT_EQ(bytes.substr(8, header).find_last_not_of(' '), bytes.substr(8, header).rfind('}'));
  EXPECT_EQ(0, std::memcmp(bytes.data() + 8 + header, x, 8));
}

// As other programs write it: another order of keys and entries, metadata, spaces.
TEST(Safetensors, ReadsWhatOthersWrite) {
  const std::string header =
      " {\"b\": {\"data_offsets\": [4, 8], \"shape\": [1, 1], \"dtype\": \"F32\"},"
      "\"__metadata__\": {\"format\": \"pt\"},"
      "\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}   ";
  const auto reader = SafetensorsReader::Open(Write(WithHeader(header, 8)));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*(*reader)->Find("b", {1, 1}))->begin, 4);
}

TEST(Safetensors, RefusesBadFiles) {
  ExpectBad("", "it has only 0 bytes");
  ExpectBad("1234567", "it has only 7 bytes");
  ExpectBad(std::string("\x10\0\0\0\0\0\0\0{}", 10), "a header of 16 bytes in a file of 10");
  ExpectBad(std::string(8, '\xff'), "a header of 18446744073709551615 bytes");
  ExpectBad(WithHeader("", 0), "the header: not JSON");
  ExpectBad(WithHeader("{\"w\":", 0), "the header: not JSON");
  ExpectBad(WithHeader("[]", 0), "the header is not a JSON object");
  ExpectBad(WithHeader("{\"w\xff\": 1}", 0), "the header: not JSON, from byte 4");
  ExpectBad(WithHeader("{} x", 0), "the header: not JSON, from byte 4");
  ExpectBad(WithHeader(std::string(100000, '['), 0), "the header: nested deeper than 64");
}

TEST(Safetensors, RefusesBadEntries) {
  const auto bad = [](const std::string& entry, const std::string& part, size_t data = 8) {
    ExpectBad(WithHeader(Entry(entry), data), part);
  };
  const std::string needs = "tensor \"w\": expected dtype, shape and data_offsets";
  bad("3", needs);
  bad("{}", needs);
  bad(R"({"dtype":"F32","shape":[2]})", needs);
  bad(R"({"dtype":32,"shape":[2],"data_offsets":[0,8]})", needs);
  bad(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", needs);
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})", needs);
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4,8]})", needs);
  bad(R"({"dtype":"Q4","shape":[2],"data_offsets":[0,8]})", "dtype Q4 is not supported");
  bad(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", "a dimension is not a number");
  bad(R"({"dtype":"F32","shape":[2.5],"data_offsets":[0,8]})", "a dimension is not a number");
  bad(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})", "a dimension is not a number");
  bad(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})",
      "the shape is too large");
  bad(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})",
      "the shape is too large");
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0,-8]})", "an offset is not a number");
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0,"8"]})", "an offset is not a number");
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})",
      "offsets [8, 0) are not inside the data of 8 bytes");
  bad(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})",
      "offsets [0, 12) are not inside the data of 8 bytes");
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]})", "are not inside");
  bad(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})",
      "its size is 8 bytes, by its shape it should be 12");
  bad(R"({"dtype":"F16","shape":[2],"data_offsets":[0,8]})",
      "its size is 8 bytes, by its shape it should be 4");
}

TEST(Safetensors, RefusesGapsOverlapsAndLeftovers) {
  const std::string a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const auto b = [](const char* offsets) {
    return std::string(R"("b":{"dtype":"U8","shape":[4],"data_offsets":)") + offsets + "}";
  };
  ExpectBad(WithHeader("{" + a + "," + b("[3,7]") + "}", 8),
            "tensor \"b\" begins at 3, expected 4");
  ExpectBad(WithHeader("{" + a + "," + b("[0,4]") + "}", 8), "begins at 0, expected 4");
  ExpectBad(WithHeader("{" + a + "," + b("[5,9]") + "}", 9),
            "tensor \"b\" begins at 5, expected 4");
  ExpectBad(WithHeader("{" + b("[4,8]") + "}", 8), "tensor \"b\" begins at 4, expected 0");
  ExpectBad(WithHeader("{" + a + "," + a + "}", 4), "the key \"a\" occurs twice in one object");
  ExpectBad(WithHeader("{" + a + "}", 6), "its data have 6 bytes, by the header 4");
  ExpectBad(WithHeader("{}", 6), "its data have 6 bytes, by the header 0");
}

TEST(Safetensors, RefusesEveryTruncation) {
  const std::string whole =
      WithHeader(Entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), 8);
  ASSERT_TRUE(SafetensorsReader::Open(Write(whole)).ok());
  for (size_t n = 0; n < whole.size(); ++n)
    ASSERT_FALSE(SafetensorsReader::Open(Write(whole.substr(0, n))).ok()) << n << " bytes";
}

// Any damage to a header is an error or another valid header, never a crash.
TEST(Safetensors, SurvivesDamage) {
  const std::string whole = WithHeader(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                       R"("b":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]}})",
                                       8);
  for (size_t i = 0; i < whole.size() - 8; ++i) {
    for (const char c : {'\0', '0', '9', '"', '{', ']', ',', '-', '\xff'}) {
      std::string damaged = whole;
      damaged[i] = c;
      const auto reader = SafetensorsReader::Open(Write(damaged));
      if (!reader.ok()) continue;
      for (const TensorInfo& tensor : (*reader)->tensors()) {
        EXPECT_GE(tensor.begin, 0);
        EXPECT_LE(tensor.begin + tensor.bytes, 8);
      }
    }
  }
}

TEST(Safetensors, NamesWhatCannotBeOpened) {
  const std::string missing = Folder() + "/none/x.safetensors";
  const absl::Status open = SafetensorsReader::Open(missing).status();
  EXPECT_EQ(open.message(), missing + ": cannot open: No such file or directory");
  const absl::Status create = SafetensorsWriter::Create(missing, {}, {}).status();
  EXPECT_EQ(create.message(), missing + ": cannot create: No such file or directory");
  EXPECT_FALSE(SafetensorsReader::Open(Folder()).ok()) << "a folder";
}

// The file ends while it is read, as when another job writes it again.
TEST(Safetensors, ReportsAFileThatShrinks) {
  const std::string path =
      Write(WithHeader(Entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), 8));
  const auto reader = SafetensorsReader::Open(path).value();
  ASSERT_EQ(truncate(path.c_str(), 66), 0);
  float out[2];
  const absl::Status status = reader->Read(**reader->Find("w", {2}), 0, 2, out);
  EXPECT_NE(std::string(status.message()).find(": ends at byte "), std::string::npos) << status;
}

TEST(Safetensors, ReportsAFullDisk) {
  struct stat info;
  if (stat("/dev/full", &info) != 0) GTEST_SKIP() << "no /dev/full";
  const std::vector<char> data(1 << 20);
  auto writer = SafetensorsWriter::Create(
      "/dev/full", {{.name = "x", .dtype = DType::kU8, .shape = {1 << 20}}}, {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  absl::Status status = (*writer)->Append(data.data(), 1 << 20);
  if (status.ok()) status = (*writer)->Finish();
  EXPECT_EQ(status.message(), "/dev/full: cannot write: No space left on device");
}

}  // namespace
}  // namespace tl
