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

TEST(Placement, TheCpuWhereWantedOrWhereThereIsNothingElse) {
  EXPECT_EQ(*PlaceRank("cpu", {}, Gpus(2)), Device{});
  EXPECT_EQ(*PlaceRank("auto", {}, Gpus(0)), Device{});
}

TEST(Placement, AGpuForARank) {
  for (const char* wanted : {"auto", "cuda"})
    EXPECT_EQ(*PlaceRank(wanted, {}, Gpus(2)), (Device{DeviceType::kCuda, 0})) << wanted;
}

TEST(Placement, RefusesWhatCannotBe) {
  const auto refused = [](const Placement& placement, int gpus) {
    const auto device = PlaceRank("cuda", placement, Gpus(gpus));
    return std::string(device.status().message());
  };
  EXPECT_NE(refused({}, 0).find("[run] device = \"cuda\": no CUDA device: no driver; use \"cpu\""),
            std::string::npos);
  EXPECT_NE(refused({.ranks = 2, .local_ranks = 2}, 2).find("2 ranks"), std::string::npos);
}

TEST(Placement, SeveralRanksStayOnTheCpuByThemselves) {
  EXPECT_EQ(*PlaceRank("auto", {.ranks = 2, .local_ranks = 2, .local_rank = 1}, Gpus(2)), Device{});
}

}  // namespace
}  // namespace tl
