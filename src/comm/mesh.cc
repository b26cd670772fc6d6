// SPDX-License-Identifier: Apache-2.0
#include "comm/mesh.h"

#include <string>

#include "base/check.h"
#include "base/status.h"
#include "comm/nccl.h"

namespace tl {

absl::StatusOr<Mesh> Mesh::Create(Communicator& world, int tensor, const Place& place) {
  if (tensor < 1 || world.size() % tensor != 0) {
    return absl::InvalidArgumentError("[parallel] tensor = " + std::to_string(tensor) +
                                      " does not divide the number of ranks, " +
                                      std::to_string(world.size()));
  }
  const int data_index = world.rank() / tensor;
  const int tensor_index = world.rank() % tensor;
  Mesh mesh;
  mesh.place_ = place;
  mesh.world_ = &world;
  if (place.transport == Transport::kNccl) {
    TL_ASSIGN_OR_RETURN(mesh.nccl_,
                        MakeNcclWorld(world, {.device = place.device,
                                              .watchdog_seconds = place.watchdog_seconds,
                                              .deterministic = place.deterministic}));
    mesh.world_ = mesh.nccl_.get();
  }
  mesh.data_ = mesh.world_->Split(tensor_index, data_index, "data");
  mesh.tensor_ = mesh.world_->Split(data_index, tensor_index, "tensor");
  return mesh;
}

int64_t Mesh::transport_bytes() const {
  constexpr int64_t kOfAGroup = int64_t{256} << 20;
  if (place_.transport != Transport::kNccl) return 0;
  int64_t groups = 0;
  for (const Communicator* group : {world_, data_.get(), tensor_.get()})
    groups += group->size() > 1;
  return groups * kOfAGroup;
}

Communicator& Mesh::tensor_replicas(int replicas) {
  TL_CHECK(replicas >= 1 && tensor_size() % replicas == 0)
      << replicas << " replicas of " << tensor_size() << " tensor ranks";
  std::unique_ptr<Communicator>& group = replicas_[replicas];
  if (group == nullptr) group = tensor_->Split(tensor_rank() / replicas, tensor_rank(), "replica");
  return *group;
}

}  // namespace tl
