// SPDX-License-Identifier: Apache-2.0
#include "train/machine.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cstdlib>
#include <string>

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

TEST(Machine, OmpNumThreadsIsANumberOrAList) {
  EXPECT_EQ(ThreadsAskedFor("3"), 3);
  EXPECT_EQ(ThreadsAskedFor(" 4 ,2"), 4);
  for (const char* value : {"", " ", "all", "0", "-2", ",4", "4x", "1e3", "1025", "99999999999"})
    EXPECT_EQ(ThreadsAskedFor(value), 0) << '"' << value << '"';
}

// What an unset $SLURM_CPUS_PER_TASK leaves.
TEST(Machine, AnOmpNumThreadsThatIsNoNumberLeavesTheShare) {
  const auto world = MakeSelfCommunicator();
  unsetenv("OMP_NUM_THREADS");
  const int share = SetThreads(0, *world);
  for (const char* value : {"", "all"}) {
    setenv("OMP_NUM_THREADS", value, 1);
    testing::internal::CaptureStderr();
    EXPECT_EQ(SetThreads(0, *world), share);
    EXPECT_NE(testing::internal::GetCapturedStderr().find(std::string("OMP_NUM_THREADS is \"") +
                                                          value + "\""),
              std::string::npos);
  }
  setenv("OMP_NUM_THREADS", "3,1", 1);
  EXPECT_EQ(SetThreads(0, *world), 3);
  unsetenv("OMP_NUM_THREADS");
  SetThreads(0, *world);
}

}  // namespace
}  // namespace tl
