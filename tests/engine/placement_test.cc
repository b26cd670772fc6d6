// SPDX-License-Identifier: Apache-2.0
#include "engine/placement.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

cuda::Platform Gpus(int count) {
  cuda::Platform platform;
  platform.devices.resize(count);
  if (count == 0) platform.absent = "no driver";
  return platform;
}

constexpr Device kGpu0 = {DeviceType::kCuda, 0}, kGpu1 = {DeviceType::kCuda, 1};

Placement Ranks(int ranks, int local_rank) {
  return {.ranks = ranks, .local_ranks = ranks, .local_rank = local_rank, .nccl_absent = ""};
}

TEST(Placement, TheCpuWhereWantedOrWhereThereIsNothingElse) {
  EXPECT_EQ(PlaceRank("cpu", "auto", {}, Gpus(2))->device, Device{});
  EXPECT_EQ(PlaceRank("cpu", "staged", Ranks(2, 1), Gpus(2))->device, Device{});
  EXPECT_EQ(PlaceRank("auto", "auto", Ranks(4, 1), Gpus(0))->device, Device{});
}

TEST(Placement, OneRankNeedsNoTransport) {
  for (const char* wanted : {"auto", "cuda"}) {
    const auto place = PlaceRank(wanted, "auto", {.nccl_absent = "gone"}, Gpus(2));
    EXPECT_EQ(place->device, kGpu0) << wanted;
    EXPECT_EQ(place->transport, Transport::kStaged) << wanted;
  }
  EXPECT_EQ(PlaceRank("auto", "nccl", {}, Gpus(1))->transport, Transport::kNccl);
}

TEST(Placement, AGpuForEachRank) {
  for (const char* transport : {"auto", "nccl"}) {
    const auto place = PlaceRank("auto", transport, Ranks(2, 1), Gpus(2));
    EXPECT_EQ(place->device, kGpu1);
    EXPECT_EQ(place->transport, Transport::kNccl);
  }
  EXPECT_EQ(PlaceRank("auto", "staged", Ranks(2, 1), Gpus(2))->device, kGpu1);
}

// A launcher that shows each rank its own GPU; that it is its own is found out by its UUID.
TEST(Placement, TheOnlyGpuThatARankSees) {
  const auto place = PlaceRank("cuda", "auto", Ranks(4, 3), Gpus(1));
  EXPECT_EQ(place->device, kGpu0);
  EXPECT_EQ(place->transport, Transport::kNccl);
}

TEST(Placement, StagedRanksShareGpus) {
  for (int rank = 0; rank < 4; ++rank) {
    const auto place = PlaceRank("cuda", "staged", Ranks(4, rank), Gpus(2));
    EXPECT_EQ(place->device.index, rank % 2);
    EXPECT_EQ(place->transport, Transport::kStaged);
  }
}

TEST(Placement, RefusesWhatCannotBe) {
  const auto refused = [](const char* device, const char* transport, const Placement& placement,
                          int gpus, const std::string& part) {
    const auto place = PlaceRank(device, transport, placement, Gpus(gpus));
    EXPECT_NE(std::string(place.status().message()).find(part), std::string::npos)
        << place.status();
  };
  refused("cuda", "auto", {}, 0, "[run] device = \"cuda\": no CUDA device: no driver; use \"cpu\"");
  refused("cpu", "nccl", {}, 2, "this run computes on the CPU: [run] device = \"cpu\"");
  refused("auto", "nccl", {}, 0, "this run computes on the CPU: no driver");
  refused(
      "auto", "auto", Ranks(4, 0), 2,
      "4 ranks of this host, but 2 GPUs; NCCL needs a GPU for each rank: start 2 ranks per host, "
      "or let ranks share GPUs by [parallel] transport = \"staged\"");
  Placement without = Ranks(2, 0);
  without.nccl_absent = "libnccl.so.2: not found";
  refused("auto", "auto", without, 2,
          "needs NCCL between GPUs: libnccl.so.2: not found; \"staged\"");
}

}  // namespace
}  // namespace tl
