// SPDX-License-Identifier: Apache-2.0
// A pass of decoding on a device: the host waits for it once, nothing is allocated once the plan's
// memory is, and the plan is what the allocator counts.
#include <gtest/gtest.h>

#include "device/cuda_device.h"
#include "infer/decoder.h"
#include "tests/infer/model_rig.h"
#include "tests/simt/control.h"

namespace tl {
namespace {

TEST(DecodePass, WaitsOnceAndAllocatesNothing) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1, {.device = {.type = DeviceType::kCuda, .index = 0}}).value();
  ModelConfig config = DecodingModel();
  config.layers = 2;
  // Longer than one chunk of keys.
  const DecodeLimits limits{.sequences = 2, .context = 600, .drafts = 3};
  const int64_t before = cuda::AllocatedBytes(0);
  const auto model = MakeModel(config, DType::kF32, limits, mesh);
  const int64_t places = limits.context + limits.drafts;
  const int64_t rows = limits.sequences * (1 + limits.drafts);
  const Model& m = model->model();
  const int64_t planned = m.weight_bytes() + m.activation_bytes() + m.input_bytes() +
                          DecodePasses::Bytes(m, rows) +
                          DecodePasses::ScratchBytes(m, places, rows) +
                          KvCache::Bytes(m.plan(), DType::kF32, limits.sequences, places);
  EXPECT_EQ(cuda::AllocatedBytes(0) - before, planned);
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 0.0}, SamplingOptions{.temperature = 1.0, .top_k = 5},
        SamplingOptions{.temperature = 1.0, .top_p = 0.9}}) {
    const DrafterOptions lookup{.kind = "lookup", .drafts = limits.drafts, .sampling = sampling};
    const auto drafter = MakeDrafter(lookup, *model, nullptr).value();
    Decoder decoder(*model, drafter.get(), {.sampling = sampling, .max_tokens = 50});
    std::vector<Sequence> sequences(2);
    std::vector<Sequence*> live;
    for (int64_t i = 0; i < 2; ++i) {
      Sequence& sequence = sequences[static_cast<size_t>(i)];
      sequence.id = sequence.slot = i;
      sequence.tokens = {5, 6, 7, 5, 6, 7, 5, 6};
      sequence.prompt = 8;
      live.push_back(&sequence);
    }
    decoder.Pass(live);
    for (int pass = 1; pass < 5; ++pass) {
      const simt::Calls start = simt::CallsSoFar();
      decoder.Pass(live);
      const simt::Calls end = simt::CallsSoFar();
      EXPECT_EQ(end.allocations - start.allocations, 0) << "pass " << pass;
      EXPECT_EQ(end.waits - start.waits, 1) << "pass " << pass;
    }
    EXPECT_GT(decoder.stats().drafted, 0);
  }
  EXPECT_EQ(cuda::AllocatedBytes(0) - before, planned);
}

}  // namespace
}  // namespace tl
