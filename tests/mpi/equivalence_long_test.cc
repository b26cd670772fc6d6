// SPDX-License-Identifier: Apache-2.0
// The sweep of equivalence_test over a larger model: every layout with every kind of recompute, for
// variants that meet each other.
#include "grid_compare.h"

namespace tl::test {
namespace {

Config LargerConfig() {
  Config config = SmallConfig();
  config.model.layers = 3;
  config.model.hidden = 256;
  config.model.heads = 8;
  config.model.ffn = 512;
  config.train.sequence_length = 64;
  config.parallel.bucket_elements = 100'000;
  return config;
}

void Sweep(const Config& config) {
  const std::unique_ptr<DataSource> source = MakeSource(config.data.pack_documents);
  const std::vector<TensorRange> ranges = RangesOf(config);
  const std::vector<Layout> layouts =
      Layouts(World().size(), {Recompute::kNone, Recompute::kSelective, Recompute::kFull});
  const std::vector<Outcome> outcomes = TrainAll(config, layouts, *source);
  for (size_t i = 0; i < layouts.size(); ++i) {
    SCOPED_TRACE(layouts[i].name());
    ExpectWithinFp32Bounds(Compare(outcomes[0], outcomes[i], ranges), ranges);
  }
}

TEST(EquivalenceSweep, Plain) { Sweep(LargerConfig()); }

TEST(EquivalenceSweep, QwenLike) {
  Config config = LargerConfig();
  config.model.tie_embeddings = false;
  config.model.qkv_bias = true;
  config.model.qk_norm = true;
  config.data.pack_documents = true;
  Sweep(config);
}

TEST(EquivalenceSweep, MistralLike) {
  Config config = LargerConfig();
  config.model.kv_heads = 4;
  config.model.sliding_window = 19;
  config.model.tie_embeddings = false;
  config.train.micro_batch_size = 1;
  Sweep(config);
}

TEST(EquivalenceSweep, OneKeyValueHead) {
  Config config = LargerConfig();
  config.model.kv_heads = 1;
  config.model.head_dim = 48;  // heads wider together than the stream
  config.train.global_batch_size = 16;
  config.train.micro_batch_size = 4;
  config.data.pack_documents = true;
  Sweep(config);
}

}  // namespace
}  // namespace tl::test
