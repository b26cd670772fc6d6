// SPDX-License-Identifier: Apache-2.0
#include "config/model.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tl {
namespace {

ModelConfig Small() {
  ModelConfig m;
  m.layers = 2;
  m.hidden = 128;
  m.heads = 4;
  m.ffn = 344;
  m.vocab = 256;
  return m;
}

void ExpectInvalidModel(const ModelConfig& model, const std::string& part) {
  const absl::Status status = Validate(model);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status;
}

TEST(ValidateModel, NamesTheKeyAndWhatFits) {
  EXPECT_TRUE(Validate(Small()).ok()) << Validate(Small());
  ModelConfig m = Small();
  m.layers = 0;
  ExpectInvalidModel(m, "[model] layers = 0");
  m = Small();
  m.heads = 3;
  ExpectInvalidModel(m, "[model] heads = 3 does not divide hidden = 128");
  ExpectInvalidModel(m, "heads that fit: 1, 2, 4");
  m = Small();
  m.heads = 16;
  ExpectInvalidModel(m, "hidden / heads = 128 / 16 = 8 per head");
  m = Small();
  m.kv_heads = 3;
  ExpectInvalidModel(m, "kv_heads = 3 does not divide heads = 4; kv_heads that fit: 1, 2, 4");
  m = Small();
  m.head_dim = 36;
  ExpectInvalidModel(m, "[model] head_dim = 36");
  m = Small();
  m.rope_scaling = {.factor = 8.0, .low_freq_factor = 4.0, .high_freq_factor = 4.0};
  ExpectInvalidModel(m, "low_freq_factor = 4 must be less than high_freq_factor = 4");
  m = Small();
  m.rope_theta = 0.0;
  ExpectInvalidModel(m, "[model] rope_theta = 0");
  m = Small();
  m.norm_eps = 1.0 / 0.0;
  ExpectInvalidModel(m, "[model] norm_eps = inf");
  m = Small();
  m.sliding_window = -1;
  ExpectInvalidModel(m, "[model] sliding_window = -1");
}

ModelConfig OfValues() {
  ModelConfig m = Small();
  m.vocab = 0;
  m.shape = {3, 28, 20};
  m.patch = 4;
  m.classes = 10;
  return m;
}

TEST(ValidateModel, SamplesAreTokensOrValuesOfAShape) {
  EXPECT_TRUE(Validate(OfValues()).ok()) << Validate(OfValues());
  EXPECT_EQ(OfValues().patches(), 35);
  EXPECT_EQ(OfValues().patch_values(), 48);
  ModelConfig m = OfValues();
  m.shape = {2, 1, 1};
  ExpectInvalidModel(
      m,
      "[model] patch = 4 does not divide height and width of [model] shape = [2, 1, 1"
      "]; patches that fit: 1");
  m.patch = 1;
  m.classes = 0;
  EXPECT_TRUE(Validate(m).ok()) << Validate(m);
  m = OfValues();
  m.patch = 7;
  ExpectInvalidModel(m, "patches that fit: 1, 2, 4");
  m.patch = 0;
  ExpectInvalidModel(m, "[model] patch = 0");
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{28, 28}, {1, 28, 28, 1}, {0, 28, 28}, {1, 28, 65540}}) {
    m = OfValues();
    m.shape = shape;
    ExpectInvalidModel(m, "expected channels, height and width of a sample, each from 1 to 65536");
  }
  m = OfValues();
  m.shape = {1, 65536, 65536};
  m.patch = 65536;
  ExpectInvalidModel(m, "[model] shape: values of a patch = 4294967296");
  m.patch = 1;
  ExpectInvalidModel(m, "[model] shape: patches of a sample = 4294967296");
  m = OfValues();
  m.classes = -1;
  ExpectInvalidModel(m, "[model] classes = -1");
}

TEST(ValidateModel, RefusesKeysOfTheOtherKindOfSamples) {
  ModelConfig m = OfValues();
  m.vocab = 256;
  ExpectInvalidModel(
      m,
      "[model] vocab = 256 is a key of models of tokens, but [model] shape = [3, 28, "
      "20] is given");
  m = OfValues();
  m.sliding_window = 8;
  ExpectInvalidModel(m, "[model] sliding_window = 8 is a key of models of tokens");
  m = OfValues();
  m.tie_embeddings = false;
  ExpectInvalidModel(m, "[model] tie_embeddings = false is a key of models of tokens");
  m = OfValues();
  m.rope_scaling.factor = 2.0;
  ExpectInvalidModel(m, "[model] rope_scaling.factor = 2 is a key of models of tokens");
  m = Small();
  m.patch = 4;
  ExpectInvalidModel(m, "[model] patch = 4 is a key of models with [model] shape");
  m = Small();
  m.classes = 10;
  ExpectInvalidModel(m, "[model] classes = 10 is a key of models with [model] shape");
  m = Small();
  m.vocab = 0;
  ExpectInvalidModel(m, "[model] vocab = 0: expected a number from 1");
}

}  // namespace
}  // namespace tl
