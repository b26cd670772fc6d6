// SPDX-License-Identifier: Apache-2.0
#include "engine/placement.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "comm/host.h"
#include "comm/nccl_api.h"
#include "device/cuda_device.h"

namespace tl {
namespace {

using Uuid = std::array<uint8_t, 16>;

// Of every rank's device; zeros for the CPU. Collective.
std::vector<Uuid> DevicesOfRanks(Device device, Communicator& world) {
  Uuid mine{};
  if (device.type == DeviceType::kCuda) mine = cuda::Uuid(device.index);
  std::vector<Uuid> all(world.size());
  Stream cpu = Stream::Cpu();
  world.AllGather(cpu,
                  Tensor::Of(all.data()->data(), {static_cast<int64_t>(all.size() * sizeof(Uuid))}),
                  Tensor::Of(mine.data(), {static_cast<int64_t>(sizeof(Uuid))}));
  return all;
}

}  // namespace

absl::StatusOr<Place> PlaceRank(const std::string& device, const std::string& transport,
                                const Placement& placement, const cuda::Platform& platform) {
  const auto devices = static_cast<int>(platform.devices.size());
  const bool wants_nccl = transport == "nccl";
  if (device == "cpu" || (devices == 0 && device != "cuda")) {
    if (!wants_nccl) return Place{};
    return absl::FailedPreconditionError(absl::StrCat(
        "[parallel] transport = \"nccl\" is between GPUs, but this run computes on the CPU: ",
        device == "cpu" ? "[run] device = \"cpu\"" : platform.absent, "; use \"auto\""));
  }
  if (devices == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "[run] device = \"cuda\": no CUDA device: ", platform.absent, "; use \"cpu\" or \"auto\""));
  }
  const bool staged = transport == "staged" || (placement.ranks == 1 && !wants_nccl);
  Place place;
  place.device.type = DeviceType::kCuda;
  place.transport = staged ? Transport::kStaged : Transport::kNccl;
  if (devices >= placement.local_ranks) {
    place.device.index = placement.local_rank;
  } else if (staged) {
    place.device.index = placement.local_rank % devices;
  } else if (devices > 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        placement.local_ranks, " ranks of this host, but ", devices,
        " GPUs; NCCL needs a GPU for each rank: start ", devices,
        " ranks per host, or let ranks share GPUs by [parallel] transport = \"staged\", or use "
        "[run] device = \"cpu\""));
  }
  if (!staged && !placement.nccl_absent.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("[parallel] transport = \"", transport, "\" needs NCCL between GPUs: ",
                     placement.nccl_absent, "; \"staged\" needs none, and is slow"));
  }
  return place;
}

cuda::Platform UsablePlatform() {
  cuda::Platform platform = cuda::GetPlatform();
  const std::string missing = cuda::MissingOps();
  if (platform.devices.empty() || missing.empty()) return platform;
  platform.devices.clear();
  platform.absent = "this build has no CUDA kernel for " + missing;
  return platform;
}

absl::StatusOr<Mesh> MakeMesh(const Config& config, Communicator& world) {
  const ParallelConfig& parallel = config.parallel;
  const bool cpu = config.run.device == "cpu";  // does not wake the driver
  const cuda::Platform platform = cpu ? cuda::Platform{} : UsablePlatform();
  Placement placement{.ranks = world.size(),
                      .local_ranks = LocalRanks(world),
                      .local_rank = LocalRank(world),
                      .nccl_absent = ""};
  if (!platform.devices.empty() && parallel.transport != "staged")
    placement.nccl_absent = nccl::GetLibrary().absent;
  const auto placed = PlaceRank(config.run.device, parallel.transport, placement, platform);
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, placed.status()));
  Place place = *placed;
  place.deterministic = config.run.deterministic;
  place.watchdog_seconds = static_cast<double>(config.run.watchdog_seconds);
  if (cpu) return Mesh::Create(world, parallel.tensor, place);

  const std::vector<Uuid> devices = DevicesOfRanks(place.device, world);
  const auto on_cpu = std::count(devices.begin(), devices.end(), Uuid{});
  if (on_cpu > 0 && on_cpu < world.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("[run] device = \"auto\": ", on_cpu, " of ", world.size(),
                     " ranks find no GPU; use \"cpu\", or start ranks where there are GPUs"));
  }
  const Uuid& mine = devices[world.rank()];
  place.sharers = static_cast<int>(std::count(devices.begin(), devices.end(), mine));
  absl::Status status;
  if (place.transport == Transport::kNccl && place.sharers > 1) {
    status = absl::FailedPreconditionError(absl::StrCat(
        place.sharers, " ranks see the same GPU alone, ", Describe(place.device),
        "; NCCL needs a GPU for each rank: show each rank its own, or let them share it by "
        "[parallel] transport = \"staged\""));
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, status));
  return Mesh::Create(world, parallel.tensor, place);
}

std::string Describe(Device device) {
  if (device.type == DeviceType::kCpu) return "CPU";
  return absl::StrCat(cuda::GetPlatform().devices[device.index].name, " (", ToString(device), ")");
}

std::string Describe(const Mesh& mesh) {
  const Place& place = mesh.place();
  std::string text = Describe(place.device);
  if (place.device.type == DeviceType::kCpu) return text;
  if (place.sharers > 1) absl::StrAppend(&text, " shared by ", place.sharers, " ranks");
  if (place.transport == Transport::kNccl) {
    absl::StrAppend(&text, ", NCCL ", nccl::VersionText(nccl::GetLibrary().version),
                    place.deterministic ? " (rings)" : "");
  } else if (mesh.world().size() > 1) {
    absl::StrAppend(&text, ", staged through the host");
  }
  return text;
}

}  // namespace tl
