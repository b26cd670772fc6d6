// SPDX-License-Identifier: Apache-2.0
#include "base/cgroup.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tl {
namespace {

// A made-up /proc and /sys/fs/cgroup.
class CgroupTest : public testing::Test {
 protected:
  CgroupTest() : root_(testing::TempDir() + "cgroup_test") { std::filesystem::remove_all(root_); }
  ~CgroupTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  void WriteV2(const std::string& group, const std::string& mounted = "/") const {
    Write("/proc/self/cgroup", "0::" + group);
    Write("/proc/self/mountinfo",
          "24 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
          "31 24 0:26 " +
              mounted + " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw");
  }
  CgroupLimits Read() const { return ReadCgroupLimits(root_); }

  const std::string root_;
};

TEST_F(CgroupTest, NothingThereLimitsNothing) {
  EXPECT_EQ(Read().free_memory, CgroupLimits::kNoBytes);
  EXPECT_EQ(Read().cpus, CgroupLimits::kNoCpus);
}

TEST_F(CgroupTest, TheTightestOfNestedGroupsOfVersion2) {
  // As SLURM nests them: the job has the limits, the step and task below it have none.
  WriteV2("/system.slice/slurmstepd.scope/job_7/step_0/user/task_0");
  const std::string job = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_7";
  Write(job + "/step_0/user/task_0/memory.max", "max");
  Write(job + "/step_0/user/task_0/memory.current", "500");
  Write(job + "/step_0/memory.max", "8000");
  Write(job + "/step_0/memory.current", "600");
  Write(job + "/memory.max", "4000");
  Write(job + "/memory.current", "1000");
  Write(job + "/memory.stat", "anon 200\ninactive_file 300\nactive_file 17");
  Write(job + "/cpu.max", "150000 100000");
  Write("/sys/fs/cgroup/system.slice/cpu.max", "max 100000");
  EXPECT_EQ(Read().free_memory, 3300);
  EXPECT_EQ(Read().cpus, 1.5);
}

TEST_F(CgroupTest, AFullGroupLeavesAByteAndNotNoLimit) {
  WriteV2("/a");
  Write("/sys/fs/cgroup/a/memory.max", "4000");
  Write("/sys/fs/cgroup/a/memory.current", "4100");
  EXPECT_EQ(Read().free_memory, 1);
}

TEST_F(CgroupTest, ANamespaceShowsItsOwnRoot) {
  WriteV2("/");
  Write("/sys/fs/cgroup/memory.max", "4000");
  Write("/sys/fs/cgroup/memory.current", "1000");
  EXPECT_EQ(Read().free_memory, 3000);
  WriteV2("/../other");
  EXPECT_EQ(Read().free_memory, 3000);
}

TEST_F(CgroupTest, AGroupBesideTheMountsOwnIsNotBelowIt) {
  for (const char* group : {"/a/bc/d", "/other", "/a"}) {
    WriteV2(group, "/a/b");
    Write("/sys/fs/cgroup/memory.max", "4000");
    Write("/sys/fs/cgroup/memory.current", "1000");
    Write("/sys/fs/cgroup/other/memory.max", "10");
    Write("/sys/fs/cgroup/other/memory.current", "0");
    EXPECT_EQ(Read().free_memory, 3000) << group;
  }
}

TEST_F(CgroupTest, Version1UnderAContainersMount) {
  Write("/proc/self/cgroup",
        "9:memory:/docker/4f0c/inner\n4:cpu,cpuacct:/docker/4f0c\n1:name=systemd:/x\n0::/x");
  Write("/proc/self/mountinfo",
        "31 24 0:26 /docker/4f0c /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "32 24 0:27 /docker/4f0c /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "77");
  Write("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "5000");
  Write("/sys/fs/cgroup/memory/inner/memory.usage_in_bytes", "2000");
  Write("/sys/fs/cgroup/memory/inner/memory.stat", "inactive_file 1\ntotal_inactive_file 400");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000");
  EXPECT_EQ(Read().free_memory, 3400);
  EXPECT_EQ(Read().cpus, 0.5);
}

TEST_F(CgroupTest, Version1WithoutQuota) {
  Write("/proc/self/cgroup", "4:cpu,cpuacct:/");
  Write("/proc/self/mountinfo",
        "32 24 0:27 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(Read().cpus, CgroupLimits::kNoCpus);
}

}  // namespace
}  // namespace tl
