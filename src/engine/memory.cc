#include "engine/memory.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/host_memory.h"
#include "comm/host.h"
#include "engine/model.h"
#include "engine/placement.h"

namespace tl {
namespace {

// Bytes of memory that no host has, for where the system does not say what this one has.
constexpr double kBeyondAnyHost = 0x1p50;

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

absl::Status CheckSize(const ModelOptions& options, const Mesh& mesh) {
  const ModelConfig& m = options.model;
  const bool training = options.purpose == Plan::Purpose::kTraining;
  const auto size = static_cast<double>(SizeOf(options.compute));
  const auto tensor = static_cast<double>(mesh.tensor_size());
  const auto hidden = static_cast<double>(m.hidden), layers = static_cast<double>(m.layers);
  const double heads = static_cast<double>(m.heads) * static_cast<double>(m.head_dim_or_default());
  const auto ffn = static_cast<double>(m.ffn), vocab = static_cast<double>(m.vocab);
  const auto length = static_cast<double>(options.sequence_length);
  const double rows = static_cast<double>(options.batch) * length;
  // Those that are split over the tensor ranks; key/value heads may be replicated and are left out.
  const double parameters = (m.tie_embeddings ? 1.0 : 2.0) * vocab * hidden +
                            layers * (2.0 * heads * hidden + 3.0 * hidden * ffn);
  // Every block keeps at least its input. The largest of a query, a SwiGLU output and a chunk of
  // logits is there beside them.
  const double inputs = rows * hidden * (training ? layers : 1.0);
  const double logits = std::min(rows, static_cast<double>(options.loss_chunk)) * vocab;
  const double largest = std::max({rows * heads, rows * ffn, logits});
  const auto positions =
      static_cast<double>(options.positions > 0 ? options.positions : options.sequence_length);
  const double tables = positions * static_cast<double>(m.head_dim_or_default());
  std::vector<MemoryRow> lower_bound = {{"weights", Clamped(parameters / tensor * size)}};
  if (training) lower_bound.push_back({"gradients", Clamped(parameters / tensor * 4.0)});
  lower_bound.push_back(
      {"activations at least", Clamped((inputs + largest) / tensor * size + tables * 4.0)});
  const auto [bytes, local_ranks] = FindMemory(mesh);
  const double available = bytes > 0 ? static_cast<double>(bytes) : kBeyondAnyHost;
  double needed = 0.0;
  for (const MemoryRow& row : lower_bound) needed += static_cast<double>(row.bytes) * local_ranks;
  const bool fits = needed <= available;
  return AgreeOnStatus(mesh.world(), fits ? absl::OkStatus()
                                          : TooLarge(lower_bound, needed, available, local_ranks,
                                                     mesh.place().device));
}

}  // namespace tl
