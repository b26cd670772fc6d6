#include "comm/mesh.h"

#include <string>

#include "base/check.h"

namespace tl {

absl::StatusOr<Mesh> Mesh::Create(Communicator& world, int tensor) {
  if (tensor < 1 || world.size() % tensor != 0) {
    return absl::InvalidArgumentError("[parallel] tensor = " + std::to_string(tensor) +
                                      " does not divide the number of ranks, " +
                                      std::to_string(world.size()));
  }
  const int data_index = world.rank() / tensor;
  const int tensor_index = world.rank() % tensor;
  Mesh mesh;
  mesh.world_ = &world;
  mesh.data_ = world.Split(tensor_index, data_index, "data");
  mesh.tensor_ = world.Split(data_index, tensor_index, "tensor");
  return mesh;
}

Communicator& Mesh::tensor_replicas(int replicas) {
  TL_CHECK(replicas >= 1 && tensor_size() % replicas == 0)
      << replicas << " replicas of " << tensor_size() << " tensor ranks";
  std::unique_ptr<Communicator>& group = replicas_[replicas];
  if (group == nullptr) group = tensor_->Split(tensor_rank() / replicas, tensor_rank(), "replica");
  return *group;
}

}  // namespace tl
