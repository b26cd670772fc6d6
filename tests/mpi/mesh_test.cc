// SPDX-License-Identifier: Apache-2.0
#include "comm/mesh.h"

#include <algorithm>
#include <vector>

#include "mpi_main.h"
#include "train/machine.h"

namespace tl {
namespace {

using test::World;

std::vector<int32_t> WorldRanksOf(Communicator& group) {
  Stream stream = Stream::Cpu();
  std::vector<int32_t> ranks(group.size());
  int32_t mine = World().rank();
  group.AllGather(stream, Tensor::Of(ranks.data(), {group.size()}), Tensor::Of(&mine, {1}));
  return ranks;
}

TEST(Mesh, TensorRanksAreConsecutive) {
  const int size = World().size(), rank = World().rank();
  for (int tensor = 1; tensor <= size; tensor *= 2) {
    SCOPED_TRACE(tensor);
    const auto mesh = Mesh::Create(World(), tensor);
    ASSERT_TRUE(mesh.ok());
    EXPECT_EQ(mesh->tensor_size(), tensor);
    EXPECT_EQ(mesh->data_size(), size / tensor);
    EXPECT_EQ(mesh->tensor_rank(), rank % tensor);
    EXPECT_EQ(mesh->data_rank(), rank / tensor);
    std::vector<int32_t> in_tensor, in_data;
    for (int r = 0; r < size; ++r) {
      if (r / tensor == rank / tensor) in_tensor.push_back(r);
      if (r % tensor == rank % tensor) in_data.push_back(r);
    }
    EXPECT_EQ(WorldRanksOf(mesh->group(Axis::kTensor)), in_tensor);
    EXPECT_EQ(WorldRanksOf(mesh->group(Axis::kData)), in_data);
  }
}

TEST(Mesh, ReplicasAreRunsOfTensorRanks) {
  const int size = World().size(), rank = World().rank();
  auto mesh = Mesh::Create(World(), size);
  ASSERT_TRUE(mesh.ok());
  for (int replicas = 1; replicas <= size; replicas *= 2) {
    Communicator& group = mesh->tensor_replicas(replicas);
    std::vector<int32_t> want;
    for (int i = 0; i < replicas; ++i) want.push_back(rank / replicas * replicas + i);
    EXPECT_EQ(WorldRanksOf(group), want);
    EXPECT_EQ(&mesh->tensor_replicas(replicas), &group);
  }
}

TEST(Mesh, RefusesAGridThatDoesNotDivide) {
  for (const int tensor : {0, 3, 8}) {
    const auto mesh = Mesh::Create(World(), tensor);
    ASSERT_FALSE(mesh.ok());
    EXPECT_EQ(mesh.status().message(), "[parallel] tensor = " + std::to_string(tensor) +
                                           " does not divide the number of ranks, " +
                                           std::to_string(World().size()));
  }
}

TEST(AgreeOnStatus, AllOk) { EXPECT_TRUE(AgreeOnStatus(World(), absl::OkStatus()).ok()); }

TEST(AgreeOnStatus, EveryRankGetsTheLowestFailure) {
  const int size = World().size(), rank = World().rank();
  const absl::Status last =
      rank == size - 1 ? absl::NotFoundError("/data/x.bin: no such file") : absl::OkStatus();
  EXPECT_EQ(AgreeOnStatus(World(), last), absl::NotFoundError("rank " + std::to_string(size - 1) +
                                                              ": /data/x.bin: no such file"));
  // Of several failures, one long: the lowest rank's.
  const absl::Status several =
      rank == 0 ? absl::OkStatus()
                : absl::DataLossError(std::string(100'000, static_cast<char>('a' + rank)));
  EXPECT_EQ(AgreeOnStatus(World(), several),
            absl::DataLossError("rank 1: " + std::string(100'000, 'b')));
}

TEST(Host, RanksAndThreads) {
  EXPECT_EQ(LocalRanks(World()), World().size());  // The tests run on one host.
  EXPECT_GE(DefaultThreads(World()), 1);
  EXPECT_TRUE(LaunchedUnderMpi());
  EXPECT_TRUE(CheckLauncher().ok());
  // All have as many threads as the one that has the fewest.
  EXPECT_EQ(SetThreads(1 + World().rank(), World()), 1);
  EXPECT_EQ(SetThreads(5 - World().rank(), World()), 6 - World().size());
}

}  // namespace
}  // namespace tl
