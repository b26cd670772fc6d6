// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <numeric>
#include <vector>

#include "comm/communicator.h"
#include "comm/host.h"
#include "comm/mesh.h"
#include "comm/reduce.h"
#include "gtest/gtest.h"

namespace tl {
namespace {

TEST(SelfCommunicator, EveryOperationIsACopyOrNothing) {
  for (const Stream::Mode mode : {Stream::Mode::kCompute, Stream::Mode::kAsync}) {
    Stream stream = Stream::Cpu(mode);
    const auto self = MakeSelfCommunicator();
    EXPECT_EQ(self->rank(), 0);
    EXPECT_EQ(self->size(), 1);
    std::vector<float> x(1000);
    std::iota(x.begin(), x.end(), 1.0f);
    const std::vector<float> original = x;
    std::vector<float> a(1000), b(1000), c(1000);
    const auto view = [](std::vector<float>& v) { return Tensor::Of(v.data(), {1000}); };
    self->AllReduce(stream, view(x));
    self->Broadcast(stream, view(x), 0);
    self->ReduceScatter(stream, view(a), view(x));
    self->AllGather(stream, view(b), view(x));
    self->AllGather(stream, view(x), view(x));
    self->Exchange(stream, {{.peer = 0, .send = view(x), .recv = view(c)}});
    self->Barrier(stream);
    stream.Synchronize();
    EXPECT_EQ(x, original);
    EXPECT_EQ(a, original);
    EXPECT_EQ(b, original);
    EXPECT_EQ(c, original);
    for (const CollectiveStats& stats : self->stats()) {
      EXPECT_GT(stats.calls, 0);
      EXPECT_EQ(stats.bytes_sent, 0);
    }
    EXPECT_EQ(self->Split(3, 1)->size(), 1);
  }
}

TEST(SelfCommunicator, AgreesWithItself) {
  const auto self = MakeSelfCommunicator();
  EXPECT_TRUE(AgreeOnStatus(*self, absl::OkStatus()).ok());
  EXPECT_EQ(AgreeOnStatus(*self, absl::NotFoundError("x")), absl::NotFoundError("x"));
}

TEST(SelfCommunicator, MeshOfOne) {
  const auto self = MakeSelfCommunicator();
  auto mesh = Mesh::Create(*self, 1);
  ASSERT_TRUE(mesh.ok());
  EXPECT_EQ(mesh->data_size(), 1);
  EXPECT_EQ(mesh->tensor_size(), 1);
  EXPECT_EQ(mesh->tensor_replicas(1).size(), 1);
  EXPECT_EQ(Mesh::Create(*self, 2).status().message(),
            "[parallel] tensor = 2 does not divide the number of ranks, 1");
}

TEST(SelfCommunicatorDeathTest, AbortExitsWithTheCode) {
  EXPECT_EXIT(MakeSelfCommunicator()->Abort(85), testing::ExitedWithCode(85), "");
  EXPECT_EXIT(MakeSelfCommunicator()->Abort(0), testing::ExitedWithCode(1), "");
}

// All bit patterns of the 16-bit types: the reduction's own conversions are those of dtype.h.
template <typename T>
void ExpectConversionsOfDtypeH() {
  const int64_t n = 1 << 16;
  std::vector<T> a(n), b(n), c(n), out(n);
  for (int64_t i = 0; i < n; ++i) {
    a[i].bits = static_cast<uint16_t>(i);
    b[i].bits = static_cast<uint16_t>(i * 40503u + 77u);
    c[i].bits = static_cast<uint16_t>(i * 25173u + 13849u);
  }
  const auto bytes = [](std::vector<T>& v) { return reinterpret_cast<std::byte*>(v.data()); };
  const auto expect = [&](int64_t i, float sum) {
    const uint16_t want = FromFloat<T>(sum).bits;
    const uint16_t infinity = std::is_same_v<T, F16> ? 0x7c00 : 0x7f80;
    if ((want & 0x7fff) > infinity)  // which NaN an addition gives is the processor's choice
      ASSERT_GT(out[i].bits & 0x7fff, infinity) << i;
    else
      ASSERT_EQ(out[i].bits, want) << i;
  };
  ReduceRows(ReduceOp::kSum, DTypeOf<T>::value, bytes(out), {bytes(a), bytes(b)}, n);
  for (int64_t i = 0; i < n; ++i) expect(i, ToFloat(a[i]) + ToFloat(b[i]));
  ReduceRows(ReduceOp::kSum, DTypeOf<T>::value, bytes(out), {bytes(a), bytes(b), bytes(c)}, n);
  for (int64_t i = 0; i < n; ++i) expect(i, ToFloat(a[i]) + ToFloat(b[i]) + ToFloat(c[i]));
  ReduceRows(ReduceOp::kSum, DTypeOf<T>::value, bytes(out), {bytes(a)}, n);
  for (int64_t i = 0; i < n; ++i) expect(i, ToFloat(a[i]));
}

TEST(ReduceRows, BF16) { ExpectConversionsOfDtypeH<BF16>(); }
TEST(ReduceRows, F16) { ExpectConversionsOfDtypeH<F16>(); }

TEST(ReduceRows, F64InRankOrder) {
  std::vector<double> a = {1e16, 0.1}, b = {1.0, 0.2}, c = {-1e16, 0.3};
  const auto bytes = [](std::vector<double>& v) { return reinterpret_cast<std::byte*>(v.data()); };
  ReduceRows(ReduceOp::kSum, DType::kF64, bytes(a), {bytes(a), bytes(b), bytes(c)}, 2);
  EXPECT_EQ(a, (std::vector<double>{1e16 + 1.0 - 1e16, 0.1 + 0.2 + 0.3}));
}

TEST(ReduceRows, OutMayBeAnyRow) {
  for (int target = 0; target < 3; ++target) {
    for (const int rows : {2, 3}) {
      if (target >= rows) continue;
      std::vector<std::vector<float>> parts(rows, std::vector<float>(5003));
      std::vector<float> want(5003);
      std::vector<const std::byte*> pointers;
      for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < 5003; ++i) parts[r][i] = 0.1f * static_cast<float>(r + i);
        pointers.push_back(reinterpret_cast<const std::byte*>(parts[r].data()));
      }
      for (int i = 0; i < 5003; ++i) {
        want[i] = parts[0][i];
        for (int r = 1; r < rows; ++r) want[i] += parts[r][i];
      }
      ReduceRows(ReduceOp::kSum, DType::kF32, reinterpret_cast<std::byte*>(parts[target].data()),
                 pointers, 5003);
      EXPECT_EQ(parts[target], want);
    }
  }
}

TEST(Launcher, IsReadFromTheEnvironment) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"})
    unsetenv(name);
  EXPECT_FALSE(LaunchedUnderMpi());
  EXPECT_TRUE(CheckLauncher().ok());
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  setenv("SLURM_PROCID", "1", 1);
  EXPECT_EQ(CheckLauncher().message(),
            "srun started 4 tasks without an MPI plug-in, so they cannot find each other; use srun "
            "--mpi=pmix or mpirun");
  setenv("PMIX_RANK", "1", 1);
  EXPECT_TRUE(LaunchedUnderMpi());
  EXPECT_TRUE(CheckLauncher().ok());
  for (const char* name : {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "PMIX_RANK"}) unsetenv(name);
}

TEST(Host, KnowsItselfWithoutMpi) {
  EXPECT_FALSE(HostName().empty());
  EXPECT_NE(MpiVersion().find("v"), std::string::npos);
  const auto self = MakeSelfCommunicator();
  EXPECT_EQ(LocalRanks(*self), 1);
  EXPECT_GE(DefaultThreads(*self), 1);
}

}  // namespace
}  // namespace tl
