// SPDX-License-Identifier: Apache-2.0
#include "engine/memory.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/host_memory.h"
#include "comm/host.h"
#include "engine/placement.h"

namespace tl {
namespace {

// Bytes of memory that no host has, for where the system does not say what this one has.
constexpr int64_t kBeyondAnyHost = int64_t{1} << 50;

// Sums of a few plans stay in an int64.
int64_t Clamped(double bytes) { return static_cast<int64_t>(std::min(bytes, 0x1p60)); }

absl::Status TooLarge(absl::Span<const MemoryRow> plan, double needed, double available,
                      int local_ranks, Device device) {
  std::string rows;
  for (const MemoryRow& row : plan)
    absl::StrAppend(&rows, rows.empty() ? "" : ", ", row.name, " ", HumanBytes(row.bytes));
  return absl::ResourceExhaustedError(absl::StrCat(
      device.type == DeviceType::kCpu ? HostName() : HostName() + ": " + Describe(device), " has ",
      HumanBytes(Clamped(available)), " of memory available, but ", local_ranks, " rank(s) need ",
      HumanBytes(Clamped(needed)), " (per rank: ", rows,
      "); a smaller [model], [train] micro_batch_size or global_batch_size, [train] recompute = "
      "\"full\" or more hosts need less"));
}

absl::Status CheckRoom(absl::Span<const MemoryRow> plan, const MemoryRoom& room, Device device,
                       Communicator& world) {
  const auto available = static_cast<double>(room.bytes);
  double needed = 0.0;
  for (const MemoryRow& row : plan) needed += static_cast<double>(row.bytes) * room.ranks;
  const bool fits = available == 0.0 || needed <= available;
  return AgreeOnStatus(
      world, fits ? absl::OkStatus() : TooLarge(plan, needed, available, room.ranks, device));
}

}  // namespace

MemoryRoom FindMemory(const Mesh& mesh) {
  const Place& place = mesh.place();
  if (place.device.type == DeviceType::kCuda)
    return {cuda::FreeMemory(place.device.index), place.sharers};
  return {AvailableMemory(), LocalRanks(mesh.world())};
}

void AddCudaCode(Device device, std::vector<MemoryRow>* plan) {
  if (device.type == DeviceType::kCuda)
    plan->push_back({"CUDA's context and code (estimate)", kCudaCodeBytes});
}

void AddTransport(const Mesh& mesh, std::vector<MemoryRow>* plan) {
  if (const int64_t bytes = mesh.transport_bytes(); bytes > 0)
    plan->push_back({"NCCL's buffers (estimate)", bytes});
}

MemoryTaken FindTaken(const MemoryRoom& room, absl::Span<const MemoryRow> plan, int device) {
  const int64_t free = cuda::FreeMemory(device);
  const int64_t total = cuda::GetPlatform().devices[device].memory_bytes;
  MemoryTaken taken = {.taken = room.bytes - free, .used = total - free, .total = total};
  for (const MemoryRow& row : plan) taken.planned += row.bytes * room.ranks;
  return taken;
}

std::string Describe(const MemoryTaken& taken) {
  std::string text =
      absl::StrCat(HumanBytes(taken.taken), " taken of ", HumanBytes(taken.planned), " planned; ",
                   HumanBytes(taken.used), " of ", HumanBytes(taken.total), " used in all");
  if (taken.taken > taken.planned)
    absl::StrAppend(&text, "; the plan is ", HumanBytes(taken.taken - taken.planned), " too small");
  return text;
}

absl::Status CheckMemory(absl::Span<const MemoryRow> plan, const Mesh& mesh) {
  return CheckRoom(plan, FindMemory(mesh), mesh.place().device, mesh.world());
}

absl::Status CheckHostMemory(absl::Span<const MemoryRow> plan, Communicator& world) {
  return CheckRoom(plan, {AvailableMemory(), LocalRanks(world)}, Device{}, world);
}

absl::StatusOr<std::unique_ptr<Model>> DeclareModel(const ModelOptions& options, const Mesh& mesh) {
  return Model::Declare(options, mesh.grid(), [&](const LeastMemory& least) {
    MemoryRoom room = FindMemory(mesh);
    if (room.bytes == 0) room.bytes = kBeyondAnyHost;
    std::vector<MemoryRow> plan = {{"weights", Clamped(least.weights)}};
    if (least.gradients > 0.0) plan.push_back({"gradients", Clamped(least.gradients)});
    plan.push_back({"activations at least", Clamped(least.activations)});
    return CheckRoom(plan, room, mesh.place().device, mesh.world());
  });
}

}  // namespace tl
