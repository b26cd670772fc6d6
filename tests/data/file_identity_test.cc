// SPDX-License-Identifier: Apache-2.0
// What tells a file from another of the same name.
#include "data/file_identity.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "data/token_file.h"
#include "data/token_file_format.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

std::string At(const std::string& name) { return Folder() + "/" + name; }

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  ASSERT_TRUE(file.flush());
}

std::string Bytes(size_t size) {
  std::string bytes(size, 0);
  uint32_t x = 1;
  for (char& c : bytes) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return bytes;
}

std::string WriteOwn(const std::string& name, const std::vector<int32_t>& tokens) {
  const auto tokenizer = MakeByteTokenizer();
  auto writer = TokenFileWriter::Create(At(name), *tokenizer);
  EXPECT_TRUE(writer.ok() && (*writer)->Append(tokens, 0).ok() && (*writer)->Finish().ok());
  return At(name);
}

std::vector<FileIdentity> Identify(const std::string& path) {
  const auto file = TokenFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  const auto identity = IdentifyTokenFile("data.train[0]", **file);
  EXPECT_TRUE(identity.ok()) << identity.status();
  return *identity;
}

// llm.c's format for GPT-2.
std::string WriteLlmC(const std::string& name, const std::vector<uint16_t>& tokens) {
  std::string bytes(1024, 0);
  const int32_t header[] = {internal::kLlmCGpt2Magic, 1, static_cast<int32_t>(tokens.size())};
  std::memcpy(bytes.data(), header, sizeof(header));
  bytes.append(reinterpret_cast<const char*>(tokens.data()), tokens.size() * 2);
  WriteBytes(At(name), bytes);
  return At(name);
}

TEST(FileIdentity, SmallFilesAreReadWhole) {
  const std::string bytes = Bytes(kIdentitySamples * kSampleBytes);
  WriteBytes(At("small"), bytes);
  const auto before = SampleFile("key", At("small"));
  ASSERT_TRUE(before.ok()) << before.status();
  for (const size_t at : {size_t{0}, size_t{5000}, bytes.size() / 2 + 7, bytes.size() - 1}) {
    std::string other = bytes;
    other[at] ^= 1;
    WriteBytes(At("small"), other);
    EXPECT_FALSE(SampleFile("key", At("small"))->SameContent(*before)) << at;
  }
  WriteBytes(At("small"), bytes);
  EXPECT_TRUE(SampleFile("other", At("small"))->SameContent(*before));
}

TEST(FileIdentity, LargeFilesBySamplesFromEndToEnd) {
  const size_t size = 20 * kIdentitySamples * kSampleBytes + 123;
  const std::string bytes = Bytes(size);
  WriteBytes(At("large"), bytes);
  const auto before = SampleFile("key", At("large"));
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->bytes, size);
  EXPECT_TRUE(before->sampled);
  EXPECT_NE(Describe(*before).find("of 64 samples"), std::string::npos);
  for (const size_t at : {size_t{0}, (size - kSampleBytes) * 20 / 63 + 9, size - 1}) {
    std::string other = bytes;
    other[at] ^= 1;
    WriteBytes(At("large"), other);
    EXPECT_FALSE(SampleFile("key", At("large"))->SameContent(*before)) << at;
  }
  WriteBytes(At("large"), bytes.substr(0, size - 1));
  EXPECT_FALSE(SampleFile("key", At("large"))->SameContent(*before));
  WriteBytes(At("large"), "");
  EXPECT_TRUE(SampleFile("key", At("large")).ok());
  EXPECT_FALSE(SampleFile("key", At("none")).ok());
  EXPECT_FALSE(SampleFile("key", Folder()).ok());
}

TEST(FileIdentity, ManyFilesByFewerSamples) {
  EXPECT_EQ(SamplesOfEach(0), 64);
  EXPECT_EQ(SamplesOfEach(64), 64);
  EXPECT_EQ(SamplesOfEach(65), 63);
  EXPECT_EQ(SamplesOfEach(1000), 4);
  EXPECT_EQ(SamplesOfEach(100'000), 4);
  const size_t size = 10 * kSampleBytes;
  const std::string bytes = Bytes(size);
  const auto identify = [&](size_t changed, int samples) {
    std::string other = bytes;
    if (changed < size) other[changed] ^= 1;
    WriteBytes(At("many"), other);
    auto identity = SampleFile("key", At("many"), kSampleBytes, samples);
    EXPECT_TRUE(identity.ok()) << identity.status();
    return *identity;
  };
  const FileIdentity four = identify(size, 4);
  EXPECT_NE(Describe(four).find("of 4 samples"), std::string::npos);
  EXPECT_FALSE(identify(size - 1, 4).SameContent(four));
  EXPECT_FALSE(identify(3 * kSampleBytes + 5, 4).SameContent(four));
  EXPECT_TRUE(identify(2 * kSampleBytes + 5, 4).SameContent(four));  // between two
  // Other numbers of them tell of the size and the header alone.
  EXPECT_TRUE(identify(size - 1, 64).SameContent(four));
  EXPECT_FALSE(identify(0, 64).SameContent(four));
}

TEST(FileIdentity, OwnTokenFilesByWhatTheyStore) {
  std::vector<int32_t> tokens(100, 65);
  const auto a = Identify(WriteOwn("a.tok", tokens));
  ASSERT_EQ(a.size(), 1);
  EXPECT_EQ(a[0].tokens, 100);
  EXPECT_FALSE(a[0].sampled);
  EXPECT_EQ(a[0].tokenizer_hash, MakeByteTokenizer()->hash());
  EXPECT_EQ(a[0].bytes, std::filesystem::file_size(At("a.tok")));
  std::filesystem::copy_file(At("a.tok"), At("copy.tok"));
  EXPECT_TRUE(Identify(At("copy.tok"))[0].SameContent(a[0]));
  tokens[50] = 66;
  EXPECT_FALSE(Identify(WriteOwn("b.tok", tokens))[0].SameContent(a[0]));
}

TEST(FileIdentity, MegatronFilesAreTwo) {
  // One sequence and one document of 4 tokens of uint16.
  std::string index("MMIDIDX\0\0", 9);
  const auto add = [&](auto value) {
    index.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  add(uint64_t{1});
  add(uint8_t{8});
  add(uint64_t{1});
  add(uint64_t{2});
  add(int32_t{4});
  add(int64_t{0});
  add(int64_t{0});
  add(int64_t{1});
  WriteBytes(At("m.idx"), index);
  WriteBytes(At("m.bin"), std::string("\1\0\2\0\3\0\4\0", 8));
  const auto m = Identify(At("m"));
  ASSERT_EQ(m.size(), 2);
  EXPECT_EQ(m[0].path, At("m.bin"));
  EXPECT_EQ(m[0].tokens, 4);
  EXPECT_EQ(m[1].path, At("m.idx"));
  EXPECT_EQ(m[1].key, "data.train[0] index");
}

TEST(FileIdentity, SampledTokensAreBelowTheVocabulary) {
  std::vector<uint16_t> tokens(64 * 1024 * 3, 7);
  const auto status = [&] {
    const auto file = TokenFile::Open(WriteLlmC("t.bin", tokens));
    return file.ok() ? CheckSampledTokens(**file, 256) : file.status();
  };
  EXPECT_TRUE(status().ok()) << status();
  tokens.back() = 300;
  const std::string message(status().message());
  EXPECT_NE(message.find("t.bin: token 196607 is 300, outside the vocabulary of 256"),
            std::string::npos)
      << message;
  tokens = {300};
  EXPECT_FALSE(status().ok());
}

}  // namespace
}  // namespace tl
