// SPDX-License-Identifier: Apache-2.0
// What is found out about a command's files before it begins.
#include "checkpoint/inputs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/check.h"
#include "checkpoint/manifest.h"
#include "data/token_file.h"
#include "tests/data/array_files.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

// A file of one token of 300.
WeightedPath WriteToken(int i, int32_t token) {
  const std::string path = Folder() + "/" + std::to_string(i) + ".tok";
  auto writer = TokenFileWriter::Create(path, 300);
  EXPECT_TRUE(writer.ok() && (*writer)->Append({token}, 1).ok() && (*writer)->Finish().ok());
  return {path};
}

// What it says of three files, of which the first and the last have a token outside a vocabulary of
// 300, on such a rank.
absl::Status IdentifyThree(int rank, std::chrono::milliseconds budget, size_t* identities) {
  std::vector<WeightedPath> paths;
  for (int i = 0; i < 3; ++i) {
    paths.push_back(WriteToken(i, 7));
    if (i == 1) continue;
    // A header that says nothing of it.
    std::fstream file(paths.back().path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(128);
    file.write("\xff\x7f", 2);
  }
  SetLogRank(rank);
  std::vector<FileIdentity> files;
  absl::Status status = IdentifyData("data.train", paths, 300, &files, budget);
  SetLogRank(-1);
  *identities = files.size();
  for (size_t i = 0; i < files.size(); ++i)
    EXPECT_EQ(files[i].key, "data.train[" + std::to_string(i) + "]");
  return status;
}

TEST(Inputs, RanksBeginAtOtherFiles) {
  size_t identities = 0;
  const auto named = [&](int rank, const std::string& file) {
    const absl::Status status = IdentifyThree(rank, std::chrono::hours(1), &identities);
    EXPECT_NE(status.message().find(file + ": token 0 is 32767"), std::string::npos) << status;
  };
  named(-1, "/0.tok");
  named(0, "/0.tok");
  named(1, "/2.tok");
}

TEST(Inputs, TellsHowManyFilesWereSampled) {
  size_t identities = 0;
  testing::internal::CaptureStderr();
  EXPECT_TRUE(IdentifyThree(0, std::chrono::milliseconds(0), &identities).ok());
  EXPECT_EQ(identities, 3u);
  EXPECT_TRUE(IdentifyThree(1, std::chrono::milliseconds(0), &identities).ok());
  const std::string told = testing::internal::GetCapturedStderr();
  const std::string part = "data.train: looked at samples of the tokens of 0 of 3 files";
  ASSERT_NE(told.find(part), std::string::npos) << told;
  EXPECT_EQ(told.find(part, told.find(part) + 1), std::string::npos) << told;
}

TEST(Inputs, PicturesAreIdentifiedWithTheirLabels) {
  const PatchGrid grid = {.channels = 1, .height = 2, .width = 2, .patch = 1};
  const std::string floats =
      WriteNpy("floats.npy", ArrayType::kF32, {3, 4}, std::vector<float>(12, 1.0f));
  const std::string bytes =
      WriteNpy("bytes.npy", ArrayType::kU8, {2, 2, 2}, std::vector<uint8_t>(8, 9));
  const std::string three = WriteArrayBytes("three.idx", IdxBytes({3}, {0, 1, 2}));
  const std::string two = WriteArrayBytes("two.idx", IdxBytes({2}, {1, 2}));
  const std::vector<WeightedPath> paths = {{floats, 1.0, three}, {bytes, 2.0, two}};
  std::vector<FileIdentity> files;
  ASSERT_TRUE(IdentifyPictures("data.eval", paths, grid, 3, &files).ok());
  ASSERT_EQ(files.size(), 4u);
  EXPECT_EQ(files[1].key, "data.eval[0] labels");
  EXPECT_EQ(files[1].path, three);
  EXPECT_EQ(files[2].key, "data.eval[1]");
  EXPECT_EQ(files[2].path, bytes);
  EXPECT_EQ(files[2].tokens, 0);
  ExpectContains(IdentifyPictures("data.eval", paths, grid, 2, &files),
                 {three, "label 2: expected 0 to 1"});
  WriteNpy("floats.npy", ArrayType::kF32, {3, 4}, std::vector<float>(12, INFINITY));
  ExpectContains(IdentifyPictures("data.eval", paths, grid, 3, &files),
                 {floats, "value 0 of sample 0: expected a finite number, found inf"});
  EXPECT_TRUE(
      IdentifyPictures("data.eval", paths, grid, 3, &files, std::chrono::milliseconds(0)).ok());
}

// No shard is opened for it.
TEST(Inputs, TheManifestAloneTellsTheTokenizer) {
  const std::string path = Folder() + "/run/step_00000002";
  std::filesystem::create_directories(path);
  Manifest m;
  m.run.step = 2;
  m.data_size = 1;
  m.block_bytes = 64;
  m.tokenizer_hash = 42;
  m.tensors = {{"a.weight", kWeightRole, DType::kF32, {4, 8}, 0}};
  m.files.resize(1);
  m.files[0] = {"shard_0000.h5", 1000, 7, {{0, Box::Whole({4, 8}), 0, 32, 100, {1, 2}}}};
  std::ofstream(path + "/" + kManifestName) << WriteManifest(m);
  EXPECT_EQ(TokenizerHashInManifest(Folder() + "/run"), 42u);
}

}  // namespace
}  // namespace tl
