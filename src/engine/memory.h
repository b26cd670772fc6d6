// Whether a model fits into a host's memory, found out before any of it is allocated.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/mesh.h"

namespace tl {

struct EngineOptions;

struct MemoryRow {
  std::string name;  // "weights", "activations"
  int64_t bytes = 0;
};

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

// Refuses what cannot fit before it is planned: weights, gradients and a lower bound of the
// activations, in floating point. So planning overflows nowhere and ends soon. All ranks get the
// same. Collective over the mesh's world.
absl::Status CheckSize(const EngineOptions& options, Mesh& mesh);

}  // namespace tl
