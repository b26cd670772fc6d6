// SPDX-License-Identifier: Apache-2.0
// Which device a rank computes on, and how its tensors travel.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "comm/mesh.h"
#include "config/config.h"
#include "device/cuda.h"

namespace tl {

struct Placement {
  int ranks = 1;
  int local_ranks = 1;           // on this host
  int local_rank = 0;            // among them
  std::string nccl_absent = "";  // why there is no NCCL; empty where there is
};

// For one rank, [run] device ("auto", "cpu" or "cuda") and [parallel] transport ("auto", "nccl" or
// "staged"). GPUs are given out one per rank in the order of local ranks; a rank that sees one GPU
// alone takes it, as launchers give them; over the staged transport ranks share what there is. Sets
// device and transport.
absl::StatusOr<Place> PlaceRank(const std::string& device, const std::string& transport,
                                const Placement& placement, const cuda::Platform& platform);

// What there is for models to run on.
cuda::Platform UsablePlatform();

// The grid of a run, every rank on its device. All ranks get the same status; it says what to do
// where ranks and GPUs do not match. Collective.
absl::StatusOr<Mesh> MakeMesh(const Config& config, Communicator& world);

std::string Describe(Device device);  // "NVIDIA H100 80GB HBM3 (cuda:0)", "CPU"
// The same with who shares it and how tensors travel: "..., NCCL 2.28.9".
std::string Describe(const Mesh& mesh);

}  // namespace tl
