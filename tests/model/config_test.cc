#include "model/config.h"

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

TEST(ParameterCount, KnownModels) {
  ModelConfig llama3_8b;
  llama3_8b.layers = 32;
  llama3_8b.hidden = 4096;
  llama3_8b.heads = 32;
  llama3_8b.kv_heads = 8;
  llama3_8b.ffn = 14336;
  llama3_8b.vocab = 128256;
  llama3_8b.tie_embeddings = false;
  EXPECT_EQ(ParameterCount(llama3_8b), 8030261248);

  ModelConfig qwen2_05b;
  qwen2_05b.layers = 24;
  qwen2_05b.hidden = 896;
  qwen2_05b.heads = 14;
  qwen2_05b.kv_heads = 2;
  qwen2_05b.ffn = 4864;
  qwen2_05b.vocab = 151936;
  qwen2_05b.qkv_bias = true;
  EXPECT_EQ(ParameterCount(qwen2_05b), 494032768);

  ModelConfig qwen3_06b;  // head_dim x heads is twice hidden
  qwen3_06b.layers = 28;
  qwen3_06b.hidden = 1024;
  qwen3_06b.heads = 16;
  qwen3_06b.kv_heads = 8;
  qwen3_06b.head_dim = 128;
  qwen3_06b.ffn = 3072;
  qwen3_06b.vocab = 151936;
  qwen3_06b.qk_norm = true;
  EXPECT_EQ(ParameterCount(qwen3_06b), 596049920);

  ModelConfig mistral_7b = llama3_8b;
  mistral_7b.vocab = 32000;
  EXPECT_EQ(ParameterCount(mistral_7b), 7241732096);

  ModelConfig gpt2_size;
  gpt2_size.layers = 12;
  gpt2_size.hidden = 768;
  gpt2_size.heads = 12;
  gpt2_size.ffn = 2048;
  gpt2_size.vocab = 50304;
  EXPECT_EQ(ParameterCount(gpt2_size), 50304 * 768 + 12 * (12 * 768 * 768 + 2 * 768) + 768);
}

TEST(TrainFlopsPerToken, CountsMatricesAndTheKeysSeen) {
  ModelConfig m = Small();
  const double matrices = 2 * (4 * 128 * 128 + 3 * 128 * 344) + 128 * 256;
  // Queries 1..8 see 1..8 keys: 4.5 on average, two products of 128 numbers each.
  EXPECT_DOUBLE_EQ(TrainFlopsPerToken(m, 8), 3 * (2 * matrices + 2 * 4 * 128 * 4.5));
  m.sliding_window = 2;  // 1, 2, 2, 2, 2, 2, 2, 2
  EXPECT_DOUBLE_EQ(TrainFlopsPerToken(m, 8), 3 * (2 * matrices + 2 * 4 * 128 * 15.0 / 8));
  m.sliding_window = 100;
  EXPECT_DOUBLE_EQ(TrainFlopsPerToken(m, 8), 3 * (2 * matrices + 2 * 4 * 128 * 4.5));
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
