// SPDX-License-Identifier: Apache-2.0
// The manifest's parser: what it writes it reads, and what anybody else writes it survives.
#include "checkpoint/manifest.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_format.h"
#include "base/crc32c.h"

namespace tl {
namespace {

Manifest Sample() {
  Manifest m;
  m.run.step = 12;
  m.run.samples = 96;
  m.run.scaler.scale = 65536.0;
  m.run.scaler.hysteresis_left = -2;
  m.data_size = 2;
  m.block_bytes = 64;
  m.provenance = {{"program", "1"}, {"device", "a \"CPU\"\n"}};
  m.config = "[model]\n";
  m.data = {{.key = "data.train[0]",
             .path = "a.tok",
             .bytes = 500,
             .tokens = 400,
             .tokenizer_hash = 0xfedcba9876543210u,
             .header_crc = 1,
             .crc = 0xffffffff},
            {.key = "data.train[1]",
             .path = "b.bin",
             .bytes = 3000,
             .crc = 7,
             .sampled = true,
             .samples = 4}};
  m.tokenizer_hash = 0xfedcba9876543210u;
  m.tensors = {{"a.weight", kWeightRole, DType::kF32, {4, 8}, 0},
               {"a.weight", "ema", DType::kBF16, {4, 8}, 0}};
  m.files.resize(2);
  m.files[0] = {"shard_0000.h5", 1000, 7, {{0, Box::Whole({4, 8}), 0, 20, 100, {1, 0xffffffff}}}};
  m.files[1] = {"shard_0001.h5",
                1000,
                8,
                {{0, Box::Whole({4, 8}), 20, 32, 0, {3}}, {1, Box::Whole({4, 8}), 0, 32, 48, {4}}}};
  return m;
}

// With a checksum that fits the text.
std::string Sealed(std::string text) {
  const size_t tail = text.rfind(",\"crc32c\"");
  text.resize(tail);
  absl::StrAppendFormat(&text, ",\"crc32c\":\"%08x\"}\n", Crc32c(text.data(), text.size()));
  return text;
}

TEST(Manifest, ReadsWhatItWrites) {
  const Manifest m = Sample();
  const std::string text = WriteManifest(m);
  const auto read = ParseManifest(text, "m");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(WriteManifest(*read), text);
  EXPECT_EQ(read->run.step, 12);
  EXPECT_EQ(read->data[1].samples, 4);
  EXPECT_EQ(read->run.scaler.hysteresis_left, -2);
  EXPECT_EQ(read->provenance, m.provenance);
  EXPECT_EQ(read->tensors[1].role, "ema");
  EXPECT_EQ(read->Find("a.weight", "ema"), 1);
  EXPECT_EQ(read->Find("a.weight", "m"), -1);
  EXPECT_TRUE(read->HasRole("ema"));
  EXPECT_FALSE(read->HasRole("m"));
  EXPECT_EQ(read->files[0].pieces[0].crcs, m.files[0].pieces[0].crcs);
  ASSERT_EQ(read->data.size(), 2);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read->data[i].path, m.data[i].path);
    EXPECT_EQ(read->data[i].tokens, m.data[i].tokens);
    EXPECT_TRUE(read->data[i].SameContent(m.data[i]));
  }
  EXPECT_EQ(read->data[0].tokenizer_hash, m.tokenizer_hash);
  EXPECT_EQ(read->tokenizer_hash, m.tokenizer_hash);
}

// As of versions that did not keep what a training read.
TEST(Manifest, ReadsOlderOnes) {
  std::string text = WriteManifest(Sample());
  const size_t begin = text.find("\"data\":[{"), end = text.find("\"tensors\":[");
  ASSERT_LT(begin, end);
  const auto read = ParseManifest(Sealed(text.erase(begin, end - begin)), "m");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->data.empty());
  EXPECT_EQ(read->tokenizer_hash, 0);
}

// Version 1 numbered states, and knew no average.
TEST(Manifest, ReadsNumberedStatesAsRoles) {
  std::string text = WriteManifest(Sample());
  const auto replace = [&](const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text = Sealed(text.replace(at, from.size(), to));
  };
  replace("\"version\":2", "\"version\":1");
  EXPECT_FALSE(ParseManifest(text, "m").ok()) << "a role by name in version 1";
  std::string was = "ema";
  for (const auto& [number, role] :
       {std::pair("state0", "m"), std::pair("state1", "v"), std::pair("state7", "state7")}) {
    replace("\"role\":\"" + was + "\"", absl::StrFormat("\"role\":\"%s\"", number));
    was = number;
    const auto read = ParseManifest(text, "m");
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->tensors[0].role, kWeightRole);
    EXPECT_EQ(read->tensors[1].role, role);
    // Written again it is of today's version.
    EXPECT_NE(WriteManifest(*read).find(absl::StrFormat("\"role\":\"%s\"", role)),
              std::string::npos);
  }
}

TEST(Manifest, ItsOwnChecksumGuardsIt) {
  const std::string text = WriteManifest(Sample());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] ^= 1;
    ASSERT_FALSE(ParseManifest(damaged, "m").ok()) << i;
    ASSERT_FALSE(ParseManifest(text.substr(0, i), "m").ok()) << i;
  }
}

// What is wrong although the checksum is right.
TEST(Manifest, RefusesWhatCannotBe) {
  const std::string text = WriteManifest(Sample());
  const auto refused = [&](const std::string& from, const std::string& to,
                           const std::string& part) {
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    const auto read = ParseManifest(Sealed(std::string(text).replace(at, from.size(), to)), "m");
    ASSERT_FALSE(read.ok()) << to;
    EXPECT_NE(std::string(read.status().message()).find(part), std::string::npos)
        << read.status() << "\nexpected: " << part;
  };
  refused("trunkline checkpoint", "other", "m: format: expected \"trunkline checkpoint\"");
  refused("\"version\":2", "\"version\":3", "m: version: expected a whole number from 1 to 2");
  refused("\"version\":2", "\"version\":0", "m: version: expected a whole number from 1 to 2");
  refused("\"version\":2", "\"version\":1.5", "version: expected a whole number");
  refused("\"block_bytes\":64", "\"block_bytes\":0", "block_bytes: expected");
  refused("\"block_bytes\":64", "\"block_bytes\":68", "a multiple of 8");
  refused("\"block_bytes\":64", "\"block_bytes\":128", "checksums of 8");
  refused("\"step\":12", "\"step\":-1", "run.step: expected");
  refused("\"step\":12", "\"step\":18446744073709551615", "run.step: expected");
  refused("\"step\":12", "\"step\":1e300", "run.step: expected");
  refused("\"loss_scale\":65536.0", "\"loss_scale\":0", "a positive number");
  refused("\"a.weight\"", "\"../weight\"", "a name without slashes");
  refused("\"a.weight\"", "\"a/weight\"", "a name without slashes");
  refused("\"role\":\"ema\"", "\"role\":\"weight\"", "a name of its own");
  for (const char* role : {"../ema", "", "Ema", "a/b", "123456789012345678901234567890123"})
    refused("\"role\":\"ema\"", absl::StrFormat("\"role\":\"%s\"", role), "role: expected 1 to 32");
  refused("float32", "int8", "dtype: expected");
  refused("[4,8]", "[4,0]", "expected a whole number from 1");
  refused("[4,8]", "[]", "1 to 4 numbers");
  refused("[4,8]", "[4,8,1,1,1]", "1 to 4 numbers");
  refused("[4,8]", "[72057594037927936,2]", "product");
  refused("[4,8]", "[4,9]", "missing");
  refused("\"split_axis\":0", "\"split_axis\":2", "split_axis: expected");
  refused("shard_0000.h5", "shard_0001.h5", "a name of its own");
  refused("shard_0000.h5", "../shard.h5", "a file's name without folders");
  refused("shard_0000.h5", "manifest.json", "a file's name without folders");
  refused("\"bytes\":1000", "\"bytes\":150", "offset: expected");
  refused("\"bytes\":1000", "\"bytes\":15", "a piece that fits its file");
  refused("\"tensor\":0,\"box", "\"tensor\":2,\"box", "tensor: expected");
  refused("\"box_begin\":[0,0]", "\"box_begin\":[1,0]", "a box inside the tensor's shape");
  refused("\"box_begin\":[0,0]", "\"box_begin\":[0]", "2 numbers");
  refused("\"begin\":0,\"end\":20", "\"begin\":20,\"end\":20", "end: expected");
  refused("\"begin\":0,\"end\":20", "\"begin\":1,\"end\":20", "missing");
  refused("\"offset\":100", "\"offset\":990", "offset: expected");
  refused("\"offset\":48", "\"offset\":40", "pieces in order, without overlap");
  refused("00000001ffffffff", "00000001", "2 checksums of 8");
  refused("00000001ffffffff", "00000001fffffffX", "hexadecimal");
  refused("\"objective\":{}", "\"objective\":3", "an object");
  refused("\"objective\":{}", "\"objective\":" + std::string(100, '[') + std::string(100, ']'),
          "little depth");
  refused("\"bytes\":500", "\"bytes\":-1", "data[0].bytes: expected a whole number");
  refused("\"bytes\":500", "\"bytes\":18446744073709551615", "data[0].bytes: expected");
  refused("\"path\":\"a.tok\"", "\"path\":7", "data[0].path: expected a string");
  refused("\"sampled\":true", "\"sampled\":1", "data[1].sampled: expected true or false");
  refused("\"samples\":4", "\"samples\":-4", "data[1].samples: expected a whole number");
  refused("fedcba9876543210", "+edcba9876543210", "tokenizer: expected 16 hexadecimal");
  refused("\"crc32c\":\"ffffffff\"", "\"crc32c\":\"ffff\"", "crc32c: expected 8 hexadecimal");
  refused("\"data\":[", "\"data\":[3,", "data[0]: expected an object");
  refused("\"config\":", "\"konfig\":", "has no \"config\"");
  refused("\"tensors\":[", "\"tensors\":{\"a\":[", "JSON");
}

// Inputs that a fuzzer came up with, and its seeds; see tests/fuzz/.
TEST(Manifest, SurvivesTheFuzzersCorpus) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(TL_SOURCE_DIR "/tests/fuzz/manifest")) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    ++files;
    for (const std::string& input :
         {text, text.find(",\"crc32c\"") == std::string::npos ? text : Sealed(text)}) {
      const auto read = ParseManifest(input, "m");
      if (read.ok()) {
        EXPECT_TRUE(ParseManifest(WriteManifest(*read), "m").ok()) << entry.path();
      }
    }
  }
  EXPECT_GE(files, 30);
}

}  // namespace
}  // namespace tl
