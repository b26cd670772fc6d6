#include "engine/placement.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "comm/host.h"

namespace tl {

absl::StatusOr<Device> PlaceRank(const std::string& wanted, const Placement& placement,
                                 const cuda::Platform& platform) {
  const auto devices = static_cast<int>(platform.devices.size());
  const bool must = wanted == "cuda";
  if (wanted == "cpu" || (devices == 0 && !must)) return Device{};
  const auto refuse = [](const std::string& why) {
    return absl::FailedPreconditionError(
        absl::StrCat("[run] device = \"cuda\": ", why, "; use \"cpu\" or \"auto\""));
  };
  if (devices == 0) return refuse(absl::StrCat("no CUDA device: ", platform.absent));
  // Ranks exchange tensors in the memory of hosts.
  if (placement.ranks > 1)
    return must ? absl::StatusOr<Device>(refuse(absl::StrCat(
                      placement.ranks, " ranks, but GPUs are served on one rank alone")))
                : Device{};
  if (placement.local_ranks > devices)
    return refuse(absl::StrCat(placement.local_ranks, " ranks of this host, but ", devices,
                               " CUDA device(s); one rank per device"));
  return Device{DeviceType::kCuda, placement.local_rank};
}

cuda::Platform UsablePlatform() {
  cuda::Platform platform = cuda::GetPlatform();
  const std::string missing = cuda::MissingOps();
  if (platform.devices.empty() || missing.empty()) return platform;
  platform.devices.clear();
  platform.absent = "this build has no CUDA kernel for " + missing;
  return platform;
}

absl::StatusOr<Device> ChooseDevice(const std::string& wanted, Communicator& world) {
  if (wanted == "cpu") return Device{};  // does not wake the driver
  const auto device = PlaceRank(
      wanted,
      {.ranks = world.size(), .local_ranks = LocalRanks(world), .local_rank = LocalRank(world)},
      UsablePlatform());
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, device.status()));
  return device;
}

std::string Describe(Device device) {
  if (device.type == DeviceType::kCpu) return "CPU";
  return absl::StrCat(cuda::GetPlatform().devices[device.index].name, " (", ToString(device), ")");
}

}  // namespace tl
