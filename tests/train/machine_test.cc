#include "train/machine.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cstdlib>

namespace tl {
namespace {

TEST(Machine, CpuIsDescribed) {
  const CpuInfo cpu = ReadCpuInfo();
  EXPECT_GE(cpu.cores, 1);
  EXPECT_GE(cpu.logical_cpus, cpu.cores);
  EXPECT_NE(Describe(cpu).find(cpu.model), std::string::npos);
}

TEST(Machine, ThreadsAreAskedForOrShared) {
  const auto world = MakeSelfCommunicator();
  EXPECT_EQ(SetThreads(3, *world), 3);
  EXPECT_EQ(omp_get_max_threads(), 3);
  unsetenv("OMP_NUM_THREADS");
  const int threads = SetThreads(0, *world);
  EXPECT_GE(threads, 1);
  EXPECT_LE(threads, ReadCpuInfo().cores);
  EXPECT_EQ(omp_get_max_threads(), threads);
}

}  // namespace
}  // namespace tl
