// SPDX-License-Identifier: Apache-2.0
// The configs of the speed comparisons on GPUs: their sizes, and that their memory fits GPUs of 80
// and of 141 GB as tests/gpu/run.sh runs them. They are planned and not run.
#include <gtest/gtest.h>

#include <cstdlib>

#include "config/parse.h"
#include "engine/placement.h"
#include "engine/validate.h"
#include "objective/keys.h"
#include "train/plan_check.h"
#include "train/stepper.h"

namespace tl {
namespace {

// loss_chunk 0: what the config leaves to the device.
absl::StatusOr<std::vector<MemoryRow>> Plan(const std::string& shape, int64_t micro_batch,
                                            int64_t length, int64_t* parameters,
                                            int64_t loss_chunk = 0) {
  const auto config = LoadConfig(AllKeys(), TL_SOURCE_DIR "/configs/bench-" + shape + ".toml",
                                 {"run.device=cuda", "precision.compute=bf16",
                                  "train.sequence_length=" + std::to_string(length),
                                  "train.micro_batch_size=" + std::to_string(micro_batch),
                                  "train.loss_chunk=" + std::to_string(loss_chunk),
                                  "train.global_batch_size=" + std::to_string(65536 / length)});
  TL_CHECK_OK(config.status());
  TL_CHECK_OK(Validate(*config, 1));
  const auto world = MakeSelfCommunicator();
  auto mesh = MakeMesh(*config, *world);
  TL_CHECK_OK(mesh.status());
  auto stepper = Stepper::Create(*config, *mesh);
  if (!stepper.ok()) return stepper.status();
  *parameters = static_cast<int64_t>((*stepper)->model().params().parameters());
  std::vector<MemoryRow> plan = (*stepper)->MemoryPlan();
  const absl::Status fits = CheckPlan(*config, **stepper, *mesh);
  if (!fits.ok()) return fits;
  return plan;
}

struct Shape {
  const char* name;
  int64_t parameters;
  int64_t batch;        // sequences of 4096 in a micro-batch on a GPU of 80 GB
  int64_t large_batch;  // and of 141 GB
};
// Parameters of the last three as Qwen2.5's model cards have them: 0.49, 1.54 and 3.09 billion.
constexpr Shape kShapes[] = {{"124m", 123587328, 8, 16},
                             {"0.5b", 494032768, 4, 16},
                             {"1.5b", 1543714304, 2, 8},
                             {"3b", 3085938688, 1, 4}};

void ExpectFits(const Shape& shape, int64_t batch, int64_t length) {
  SCOPED_TRACE(std::string(shape.name) + " " + std::to_string(length));
  int64_t parameters = 0;
  const auto plan = Plan(shape.name, batch * 4096 / length, length, &parameters);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(parameters, shape.parameters);
  int64_t total = 0;
  std::string rows;
  for (const MemoryRow& row : *plan) {
    total += row.bytes;
    char text[100];
    std::snprintf(text, sizeof(text), " %s %.2f", row.name.c_str(),
                  static_cast<double>(row.bytes) / (1 << 30));
    rows += text;
  }
  std::printf("%s, length %lld: %.1f GiB:%s\n", shape.name, static_cast<long long>(length),
              static_cast<double>(total) / (1 << 30), rows.c_str());
  // Of each parameter: weight, gradient, master weight, two moments.
  EXPECT_GE(total, shape.parameters * (2 + 4 + 4 + 8));
}

TEST(BenchPlan, FitsAGpuOf80GB) {
  ASSERT_EQ(setenv("TL_SIMT_MEMORY_GIB", "79", 1), 0);
  for (const Shape& shape : kShapes) {
    for (const int64_t length : {1024, 4096}) ExpectFits(shape, shape.batch, length);
  }
  ASSERT_EQ(unsetenv("TL_SIMT_MEMORY_GIB"), 0);
}

TEST(BenchPlan, FitsAGpuOf141GB) {
  ASSERT_EQ(setenv("TL_SIMT_MEMORY_GIB", "139", 1), 0);
  for (const Shape& shape : kShapes) {
    for (const int64_t length : {1024, 4096}) ExpectFits(shape, shape.large_batch, length);
  }
  ASSERT_EQ(unsetenv("TL_SIMT_MEMORY_GIB"), 0);
}

TEST(BenchPlan, IsRefusedWhereItDoesNotFit) {
  ASSERT_EQ(setenv("TL_SIMT_MEMORY_GIB", "40", 1), 0);
  int64_t parameters = 0;
  const auto plan = Plan("3b", 1, 4096, &parameters);
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(std::string(plan.status().message()).find("has 40.0 GiB of memory available"),
            std::string::npos)
      << plan.status();
  ASSERT_EQ(unsetenv("TL_SIMT_MEMORY_GIB"), 0);
}

// On a device that is too small by less than a GiB.
TEST(BenchPlan, NamesTheChunkOfTheLossThatFits) {
  int64_t parameters = 0, total = 0;
  ASSERT_EQ(setenv("TL_SIMT_MEMORY_GIB", "200", 1), 0);
  const auto plan = Plan("1.5b", 2, 4096, &parameters);
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const MemoryRow& row : *plan) total += row.bytes;
  ASSERT_EQ(setenv("TL_SIMT_MEMORY_GIB", std::to_string(total >> 30).c_str(), 1), 0);
  const auto refused = Plan("1.5b", 2, 4096, &parameters);
  ASSERT_FALSE(refused.ok());
  const std::string message(refused.status().message());
  const std::string before = "; [train] loss_chunk = ";
  const size_t at = message.find(before);
  ASSERT_NE(at, std::string::npos) << message;
  const int64_t chunk = std::atoll(message.c_str() + at + before.size());
  EXPECT_GE(chunk, 64);
  EXPECT_LE(chunk, 1024);
  EXPECT_EQ(message.substr(at), before + std::to_string(chunk) + " fits");
  EXPECT_TRUE(Plan("1.5b", 2, 4096, &parameters, chunk).ok());
  EXPECT_FALSE(Plan("1.5b", 2, 4096, &parameters, 2 * chunk).ok());
  // No chunk helps where weights alone are too large.
  ASSERT_EQ(setenv("TL_SIMT_MEMORY_GIB", "24", 1), 0);
  const auto hopeless = Plan("1.5b", 2, 4096, &parameters);
  ASSERT_FALSE(hopeless.ok());
  EXPECT_EQ(hopeless.status().message().find(before), std::string::npos);
  ASSERT_EQ(unsetenv("TL_SIMT_MEMORY_GIB"), 0);
}

}  // namespace
}  // namespace tl
