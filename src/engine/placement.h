// Which device a rank computes on.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "device/cuda.h"

namespace tl {

struct Placement {
  int ranks = 1;
  int local_ranks = 1;  // on this host
  int local_rank = 0;   // among them
};

// [run] device = wanted ("auto", "cpu" or "cuda") for one rank: GPUs are given out one per rank.
absl::StatusOr<Device> PlaceRank(const std::string& wanted, const Placement& placement,
                                 const cuda::Platform& platform);

// What there is for models to run on.
cuda::Platform UsablePlatform();

// The same for this rank and this host; all ranks get the same status. Collective.
absl::StatusOr<Device> ChooseDevice(const std::string& wanted, Communicator& world);

std::string Describe(Device device);  // "NVIDIA H100 80GB HBM3 (cuda:0)", "CPU"

}  // namespace tl
