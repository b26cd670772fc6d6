// SPDX-License-Identifier: Apache-2.0
// What does not fit takes no memory: neither for what is planned nor on the way to the plan.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/host_memory.h"
#include "data/tokenize.h"
#include "infer/language_model.h"
#include "tests/data/temp_folder.h"
#include "tests/engine/rig.h"
#include "train/trainer.h"

namespace tl {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// The largest that this process's address space has been, whether its memory was touched or not.
int64_t PeakAddressSpace() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == "VmPeak:" && status >> kib) return kib * 1024;
  }
  return 0;
}

void ExpectRefused(const absl::Status& status, const std::string& row, int64_t peak_before) {
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_NE(status.message().find(row), std::string::npos) << status;
  EXPECT_LT(PeakAddressSpace() - peak_before, 64 * kMiB);
}

TEST(Unfit, ATrainingTakesNoMemory) {
  if (AvailableMemory() == 0) GTEST_SKIP() << "the system does not say its memory";
  const std::string text = Folder() + "/text.txt", tokens = Folder() + "/train.tok";
  std::ofstream(text) << std::string(1000, 'a');
  ASSERT_TRUE(TokenizeFiles({.texts = {text}, .out = tokens}).ok());
  Config config = SmallConfig();
  config.run.device = "cpu";
  config.run.dir = Folder() + "/run";
  config.data.train = {{tokens, 1.0}};
  // Weights and gradients would fit, and their lower bound is not refused.
  config.model.vocab = std::min(AvailableMemory() / 12 / config.model.hidden, int64_t{1} << 30);
  ASSERT_TRUE(Validate(config, 1).ok());
  const auto world = MakeSelfCommunicator();
  const int64_t before = PeakAddressSpace();
  ExpectRefused(Train(config, *world), "optimizer state", before);
  EXPECT_FALSE(std::filesystem::exists(config.run.dir));
}

TEST(Unfit, ADecodingModelTakesNoMemory) {
  if (AvailableMemory() == 0) GTEST_SKIP() << "the system does not say its memory";
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  // The rotary table, 128 bytes for each place, would fit; the cache, 1 KiB, does not.
  const DecodeLimits limits{.context = AvailableMemory() / 512};
  ModelOptions options;
  options.model = SmallModel();
  const int64_t before = PeakAddressSpace();
  ExpectRefused(LanguageModel::Create(options, limits, mesh).status(), "K/V cache", before);
}

}  // namespace
}  // namespace tl
