// SPDX-License-Identifier: Apache-2.0
// A step on devices: the host waits for them once, at its end, when weights are still being
// gathered, and nothing is allocated once the plan's memory is; the plan is what the allocator
// counts.
#include <vector>

#include "device/cuda.h"
#include "device/cuda_device.h"
#include "engine/placement.h"
#include "grid_run.h"
#include "tests/simt/control.h"
#include "tests/simt/runtime.h"

namespace tl::test {
namespace {

Config DeviceConfig(Precision precision, const Layout& layout, const char* transport) {
  Config c = With(SmallConfig(), layout);
  c.run.device = "cuda";
  c.parallel.transport = transport;
  c.precision.compute = precision;
  c.train.global_batch_size = 4;
  c.train.micro_batch_size = 1;
  c.train.sequence_length = 16;
  c.model.hidden = 64;
  c.model.heads = 2;
  c.model.ffn = 64;
  return c;
}

void TestSteps(Precision precision, const Layout& layout, const char* transport) {
  SCOPED_TRACE(std::string(Name(precision)) + " " + layout.name() + " " + transport);
  const std::unique_ptr<DataSource> source = MakeSource();
  const Config config = DeviceConfig(precision, layout, transport);
  const int64_t before = cuda::AllocatedBytes(World().rank());
  auto mesh = MakeMesh(config, World());
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  auto stepper = Stepper::Create(config, *mesh);
  ASSERT_TRUE(stepper.ok()) << stepper.status();
  (*stepper)->Allocate();
  (*stepper)->Initialize();
  const int device = mesh->place().device.index;
  int64_t planned = 0;
  for (const MemoryRow& row : (*stepper)->MemoryPlan()) {
    if (row.name.find("estimate") == std::string::npos) planned += row.bytes;
  }
  EXPECT_EQ(cuda::AllocatedBytes(device) - before, planned);
  for (int step = 0; step < 3; ++step) {
    const simt::Calls start = simt::CallsSoFar();
    ASSERT_TRUE((*stepper)->Run(*source).ok());
    const simt::Calls end = simt::CallsSoFar();
    const std::string at = "step " + std::to_string(step);
    EXPECT_EQ(end.allocations - start.allocations, 0) << at;
    EXPECT_EQ(end.waits - start.waits, 1) << at;
    // Nothing that it waited for waits for them.
    EXPECT_EQ(simt::IsIdle(cuda::Handle((*stepper)->engine().comm_stream())),
              mesh->data_size() == 1)
        << at;
  }
  EXPECT_EQ(cuda::AllocatedBytes(device) - before, planned);
}

TEST(Step, WaitsOnceAndAllocatesNothing) {
  const int ranks = World().size();
  simt::SetOrder(simt::Order::kAscending);  // nothing runs that nobody waits for
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    if (ranks == 1) TestSteps(precision, {1, 1}, "auto");
    TestSteps(precision, {ranks, 1}, "nccl");
    if (ranks == 4) {
      TestSteps(precision, {2, 2}, "nccl");
      TestSteps(precision, {2, 2, /*sequence=*/true}, "nccl");
    }
  }
}

}  // namespace
}  // namespace tl::test
