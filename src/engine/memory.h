// SPDX-License-Identifier: Apache-2.0
// Whether a model fits into a host's memory, found out before any of it is allocated.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/mesh.h"
#include "engine/model.h"

namespace tl {

struct MemoryRow {
  std::string name;  // "weights", "activations"
  int64_t bytes = 0;
};

// What CUDA takes of a GPU for a process beside its allocations: its context, and code that is
// loaded when it first runs, after memory was found free. Nobody measured it for this program.
// PyTorch's users report 0.3 to 0.5 GiB in all with lazy loading, and more than 1 GB where all of
// its kernels are loaded; a training here runs some dozens of kernels. So this is meant to be
// rather too much: it costs 1 % of a large GPU, and what is missing ends a training after its
// start.
inline constexpr int64_t kCudaCodeBytes = int64_t{1} << 30;
// The row of it; none on a CPU.
void AddCudaCode(Device device, std::vector<MemoryRow>* plan);
// The row of what NCCL takes; none without it.
void AddTransport(const Mesh& mesh, std::vector<MemoryRow>* plan);

// Memory that can be had now, and the ranks that share it: a host's, or a GPU's own.
struct MemoryRoom {
  int64_t bytes = 0;  // 0: unknown
  int ranks = 1;
};
MemoryRoom FindMemory(const Mesh& mesh);  // collective

// Refuses a plan, the rows of one rank, that the ranks of a host, or of a GPU, together have no
// memory for. All ranks get the same. Collective.
absl::Status CheckMemory(absl::Span<const MemoryRow> plan, const Mesh& mesh);
// The same of what is kept on the hosts whatever the device.
absl::Status CheckHostMemory(absl::Span<const MemoryRow> plan, Communicator& world);

// What a GPU lost since `room` was found, as its driver counts it, beside what the plan of each of
// the room's ranks says.
struct MemoryTaken {
  int64_t taken = 0;  // other programs' since then is in it
  int64_t planned = 0;
  int64_t used = 0, total = 0;  // of the whole GPU, whoever has it
};
MemoryTaken FindTaken(const MemoryRoom& room, absl::Span<const MemoryRow> plan, int device);
// "1.10 GiB taken of 1.20 GiB planned; 1.60 of 79.1 GiB used in all", with a word where the plan
// was too small.
std::string Describe(const MemoryTaken& taken);

// Declares a model on this rank. Refuses what cannot fit before its memory is planned: weights,
// gradients and a lower bound of the activations, in floating point. So planning overflows nowhere
// and ends soon. All ranks get the same. Collective over the mesh's world.
absl::StatusOr<std::unique_ptr<Model>> DeclareModel(const ModelOptions& options, const Mesh& mesh);

}  // namespace tl
