// The grid of ranks. Axes that are not used have size 1; their groups are no-ops.
#pragma once

#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "comm/communicator.h"

namespace tl {

enum class Axis : uint8_t { kData, kTensor };

class Mesh {
 public:
  // world ranks = data x tensor, tensor fastest: rank = data_index * tensor + tensor_index.
  // An error names [parallel] tensor and the number of ranks where they do not divide. Collective.
  static absl::StatusOr<Mesh> Create(Communicator& world, int tensor);

  Communicator& world() const { return *world_; }
  Communicator& group(Axis axis) const { return axis == Axis::kData ? *data_ : *tensor_; }
  int data_size() const { return data_->size(); }
  int data_rank() const { return data_->rank(); }
  int tensor_size() const { return tensor_->size(); }
  int tensor_rank() const { return tensor_->rank(); }

  // Runs of `replicas` consecutive tensor ranks, which hold the same key/value heads where there
  // are fewer heads than ranks. Groups are made once and kept. Collective on first use; replicas
  // divides tensor_size().
  Communicator& tensor_replicas(int replicas);

 private:
  Mesh() = default;
  Communicator* world_ = nullptr;
  std::unique_ptr<Communicator> data_;
  std::unique_ptr<Communicator> tensor_;
  std::map<int, std::unique_ptr<Communicator>> replicas_;
};

}  // namespace tl
