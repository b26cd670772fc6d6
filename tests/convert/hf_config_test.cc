// SPDX-License-Identifier: Apache-2.0
// config.json: both ways, and what is refused by name.
#include "convert/hf_config.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/convert/memory_source.h"

namespace tl {
namespace {

using Json = nlohmann::json;

// As transformers 4 writes it.
Json Llama() {
  return Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
    "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "use_cache": true, "vocab_size": 128256})");
}

absl::StatusOr<HfConfig> Parse(const Json& json) {
  return ParseHfConfig(json.dump(), "config.json");
}

TEST(HfConfig, ReadsLlama) {
  const HfConfig config = Parse(Llama()).value();
  EXPECT_EQ(config.model, (ModelConfig{.layers = 16,
                                       .hidden = 2048,
                                       .heads = 32,
                                       .kv_heads = 8,
                                       .ffn = 8192,
                                       .vocab = 128256,
                                       .rope_theta = 500000.0,
                                       .rope_scaling = {.factor = 32.0,
                                                        .low_freq_factor = 1.0,
                                                        .high_freq_factor = 4.0,
                                                        .original_context = 8192}}));
  EXPECT_EQ(config.max_positions, 131072);
  EXPECT_EQ(config.dtype, DType::kBF16);
}

// As transformers 5 writes it.
TEST(HfConfig, ReadsNewerRope) {
  Json json = Llama();
  json["rope_parameters"] = json["rope_scaling"];
  json["rope_parameters"]["rope_theta"] = 250000.0;
  json.erase("rope_scaling");
  json.erase("rope_theta");
  json.erase("torch_dtype");
  json["dtype"] = "float16";
  const HfConfig config = Parse(json).value();
  EXPECT_EQ(config.model.rope_theta, 250000.0);
  EXPECT_EQ(config.model.rope_scaling.factor, 32.0);
  EXPECT_EQ(config.dtype, DType::kF16);
}

TEST(HfConfig, KnowsEachArchitecturesDefaults) {
  Json json = Llama();
  json.erase("num_key_value_heads");
  json["rope_scaling"] = nullptr;
  EXPECT_EQ(Parse(json)->model.kv_heads, 32);
  EXPECT_EQ(Parse(json)->model.rope_scaling, RopeScaling{});
  json["architectures"] = {"MistralForCausalLM"};
  EXPECT_EQ(Parse(json)->model.kv_heads, 8);
  EXPECT_EQ(Parse(json)->model.sliding_window, 4096);
  json["sliding_window"] = nullptr;
  EXPECT_EQ(Parse(json)->model.sliding_window, 0);
  json["sliding_window"] = 100;
  EXPECT_EQ(Parse(json)->model.sliding_window, 100);
  json["architectures"] = {"Qwen3ForCausalLM"};
  EXPECT_EQ(Parse(json)->model.head_dim, 128);
  EXPECT_TRUE(Parse(json)->model.qk_norm);
  EXPECT_EQ(Parse(json)->model.sliding_window, 0) << "not in use";
  json["architectures"] = {"Qwen2ForCausalLM"};
  EXPECT_TRUE(Parse(json)->model.qkv_bias);
}

TEST(HfConfig, RefusesByName) {
  const auto refuse = [](const char* key, const Json& value, const std::string& message) {
    Json json = Llama();
    json[key] = value;
    ExpectError(Parse(json).status(), "config.json: " + message);
  };
  refuse("architectures", {"GemmaForCausalLM"},
         "architecture GemmaForCausalLM is not supported; those that are: LlamaForCausalLM, ");
  refuse("architectures", 3, "architecture nothing is not supported");
  refuse("architectures", {"LlamaForCausalLM", "Other"}, "architecture nothing is not supported");
  refuse("rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}},
         "rope_scaling: rope type \"yarn\" is not supported; those that are: default, llama3");
  refuse("rope_scaling", {{"type", "linear"}, {"factor", 4.0}},
         "rope_scaling: rope type \"linear\" is not supported");
  refuse("rope_parameters", {{"partial_rotary_factor", 0.5}},
         "rope_parameters: \"partial_rotary_factor\": expected 1");
  refuse("rope_scaling", {{"rope_type", "llama3"}, {"factor", 4.0}},
         "rope_scaling: \"low_freq_factor\": expected a number, found nothing");
  refuse("rope_scaling", "llama3", "\"rope_scaling\": expected an object, found \"llama3\"");
  refuse("attention_bias", true,
         "\"attention_bias\": expected false in LlamaForCausalLM, found true");
  refuse("mlp_bias", true, "\"mlp_bias\": expected false");
  refuse("hidden_act", "gelu", "\"hidden_act\": expected \"silu\", found \"gelu\"");
  refuse("quantization_config", {{"bits", 4}}, "\"quantization_config\": quantized weights");
  refuse("hidden_size", -4, "\"hidden_size\": expected a whole number, found -4");
  refuse("hidden_size", 1e300, "\"hidden_size\": expected a whole number");
  refuse("num_hidden_layers", nullptr, "\"num_hidden_layers\": expected a whole number, found");
  refuse("num_attention_heads", 7, "as [model] kv_heads = 8");
  refuse("rms_norm_eps", "small", "\"rms_norm_eps\": expected a number");
  Json sliding = Llama();
  sliding["architectures"] = {"Qwen2ForCausalLM"};
  sliding["use_sliding_window"] = true;
  ExpectError(Parse(sliding).status(), "\"use_sliding_window\": expected false");
  ExpectError(ParseHfConfig("{\"a\": 1, \"a\": 2}", "c").status(), "c: the key \"a\" occurs twice");
  ExpectError(ParseHfConfig("[]", "c").status(), "c: expected a JSON object");
  ExpectError(ParseHfConfig("{", "c").status(), "c: not JSON");
}

TEST(HfConfig, SaysThatThereIsNoEnd) {
  const Json json = Json::parse(
      WriteHfConfig({.model = ConvertConfig().model, .max_positions = 64, .dtype = DType::kF32})
          .value());
  // Left out, transformers would take 1 and 2: bytes of a text.
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"})
    EXPECT_TRUE(json.contains(key) && json[key].is_null()) << key;
}

}  // namespace
}  // namespace tl
