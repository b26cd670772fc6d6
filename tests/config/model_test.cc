// SPDX-License-Identifier: Apache-2.0
#include "config/model.h"

#include <gtest/gtest.h>

#include <string>

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

void ExpectInvalid(const ModelConfig& model, const std::string& part) {
  const absl::Status status = Validate(model);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status;
}

TEST(ValidateModel, NamesTheKeyAndWhatFits) {
  EXPECT_TRUE(Validate(Small()).ok()) << Validate(Small());
  ModelConfig m = Small();
  m.layers = 0;
  ExpectInvalid(m, "[model] layers = 0");
  m = Small();
  m.heads = 3;
  ExpectInvalid(m, "[model] heads = 3 does not divide hidden = 128");
  ExpectInvalid(m, "heads that fit: 1, 2, 4");
  m = Small();
  m.heads = 16;
  ExpectInvalid(m, "hidden / heads = 128 / 16 = 8 per head");
  m = Small();
  m.kv_heads = 3;
  ExpectInvalid(m, "kv_heads = 3 does not divide heads = 4; kv_heads that fit: 1, 2, 4");
  m = Small();
  m.head_dim = 36;
  ExpectInvalid(m, "[model] head_dim = 36");
  m = Small();
  m.rope_scaling = {.factor = 8.0, .low_freq_factor = 4.0, .high_freq_factor = 4.0};
  ExpectInvalid(m, "low_freq_factor = 4 must be less than high_freq_factor = 4");
  m = Small();
  m.rope_theta = 0.0;
  ExpectInvalid(m, "[model] rope_theta = 0");
  m = Small();
  m.norm_eps = 1.0 / 0.0;
  ExpectInvalid(m, "[model] norm_eps = inf");
  m = Small();
  m.sliding_window = -1;
  ExpectInvalid(m, "[model] sliding_window = -1");
}

}  // namespace
}  // namespace tl
