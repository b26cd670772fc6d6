// SPDX-License-Identifier: Apache-2.0
// The grid of ranks, and what each of them computes on. Axes that are not used have size 1; their
// groups are no-ops.
#pragma once

#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "comm/grid.h"

namespace tl {

enum class Axis : uint8_t { kData, kTensor };

// How tensors of a device travel.
enum class Transport : uint8_t {
  kStaged,  // through host memory and MPI
  kNccl     // from GPU to GPU
};

// A rank's device.
struct Place {
  Device device;
  int sharers = 1;  // ranks that compute on it, this one included
  Transport transport = Transport::kStaged;
  bool deterministic = false;  // for NCCL, see nccl.h, as the next
  double watchdog_seconds = 600;
};

class Mesh {
 public:
  // world ranks = data x tensor, tensor fastest: rank = data_index * tensor + tensor_index.
  // An error names [parallel] tensor and the number of ranks where they do not divide, or says why
  // NCCL does not start. Collective.
  static absl::StatusOr<Mesh> Create(Communicator& world, int tensor, const Place& place = {});

  Communicator& world() const { return *world_; }
  Communicator& group(Axis axis) const { return axis == Axis::kData ? *data_ : *tensor_; }
  int data_size() const { return data_->size(); }
  int data_rank() const { return data_->rank(); }
  int tensor_size() const { return tensor_->size(); }
  int tensor_rank() const { return tensor_->rank(); }
  Grid grid() const { return {data_size(), data_rank(), tensor_size(), tensor_rank()}; }
  const Place& place() const { return place_; }
  // Estimates the device memory that NCCL takes for its connections, most of it when they are first
  // used; 0 without NCCL.
  int64_t transport_bytes() const;

  // Runs of `replicas` consecutive tensor ranks, which hold the same key/value heads where there
  // are fewer heads than ranks. Groups are made once and kept. Collective on first use; replicas
  // divides tensor_size().
  Communicator& tensor_replicas(int replicas);

 private:
  Mesh() = default;
  Place place_;
  std::unique_ptr<Communicator> nccl_;  // the world, where NCCL serves it
  Communicator* world_ = nullptr;
  std::unique_ptr<Communicator> data_;
  std::unique_ptr<Communicator> tensor_;
  std::map<int, std::unique_ptr<Communicator>> replicas_;
};

}  // namespace tl
