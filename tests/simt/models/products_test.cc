// SPDX-License-Identifier: Apache-2.0
// The products of whole models as cuBLASLt's stand-in sees them: equal layers make equal products,
// whatever lies around them in memory; and what timing them finds and leaves alone.
#include "engine/products.h"

#include "tests/engine/rig.h"

namespace tl {
namespace {

Config ModelOf(int64_t layers, Precision precision) {
  ModelConfig model = SmallModel();
  model.layers = layers;
  model.qkv_bias = true;
  Config config = SmallConfig(model);
  config.precision.compute = precision;
  config.train.global_batch_size = 2;
  config.train.micro_batch_size = 1;
  config.train.sequence_length = 12;
  return config;
}

std::vector<MatmulMade> Made(Stream& stream) {
  std::vector<MatmulMade> made;
  MatmulChoices(stream, {.made = &made});
  return made;
}

// No size is a multiple of 256 bytes, and the micro-batches set gradients and add to them.
TEST(Products, AreNoMoreOfMoreLayers) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    Rig two(ModelOf(2, precision));
    two.Run();
    const size_t before = Made(two->engine().stream()).size();
    EXPECT_GT(before, 12u);
    Rig more(ModelOf(5, precision));
    more.Run();
    EXPECT_EQ(Made(more->engine().stream()).size(), before) << Name(precision);
  }
}

TEST(Products, AreTimedByEveryChoiceAndTrainAsBefore) {
  const Config config = ModelOf(1, Precision::kBf16);
  Rig untimed(config), rig(config);
  EXPECT_EQ(rig.Run().loss, untimed.Run().loss);
  Stream& stream = rig->engine().stream();
  const std::vector<MatmulMade> made = Made(stream);
  const std::vector<TimedProduct> timed = TimeProducts(stream, made, 0.0);
  EXPECT_EQ(timed.size(), made.size());
  EXPECT_EQ(Made(stream).size(), made.size()) << "timed under other alignments or strides";
  bool adds = false, bias = false;
  for (const TimedProduct& product : timed) {
    EXPECT_GT(product.made.choices.size(), 3u);
    ASSERT_EQ(product.seconds.size(), product.made.choices.size());
    for (const double seconds : product.seconds) EXPECT_GT(seconds, 0.0);
    EXPECT_EQ(product.seconds[product.Best()],
              *std::min_element(product.seconds.begin(), product.seconds.end()));
    adds |= product.made.args.beta != 0.0f;
    bias |= product.made.args.bias.rank() > 0;
  }
  EXPECT_TRUE(adds && bias);
  for (int step = 0; step < 2; ++step) {
    const StepResult a = rig.Run(), b = untimed.Run();
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_EQ(a.grad_norm, b.grad_norm);
  }
}

}  // namespace
}  // namespace tl
