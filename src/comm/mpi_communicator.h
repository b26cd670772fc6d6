// SPDX-License-Identifier: Apache-2.0
// Ranks over MPI. Tensors of CUDA devices are staged through host memory (staging.h).
#pragma once

#include <mpi.h>

#include <memory>

#include "comm/communicator.h"
#include "comm/mpi_tasks.h"
#include "comm/workspaces.h"

namespace tl {

class MpiCommunicator : public Communicator {
 public:
  // Owns comm, which nothing else sends on.
  MpiCommunicator(MPI_Comm comm, std::shared_ptr<Workspaces> workspaces, const char* name);
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::unique_ptr<Communicator> Split(int color, int key, const char* name) override;
  void AllReduce(Stream& stream, Tensor x, ReduceOp op) override;
  void ReduceScatter(Stream& stream, Tensor out, Tensor in) override;
  void AllGather(Stream& stream, Tensor out, Tensor in) override;
  void Broadcast(Stream& stream, Tensor x, int root) override;
  void Exchange(Stream& stream, absl::Span<const Transfer> transfers) override;
  void Barrier(Stream& stream) override;
  [[noreturn]] void Abort(int exit_code) override;
  int64_t workspace_bytes() const override { return workspaces_->bytes(); }

  MPI_Comm comm() const { return comm_; }

 private:
  // Returns the next call's route, and counts it.
  Route NextRoute(const char* name);

  MPI_Comm comm_;
  std::shared_ptr<Workspaces> workspaces_;
  const char* name_;
  int rank_ = 0;
  int size_ = 1;
  int64_t calls_ = 0;
  std::byte barrier_[2] = {};  // sent and received by barriers, never read
};

}  // namespace tl
