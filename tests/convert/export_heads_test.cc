// SPDX-License-Identifier: Apache-2.0
// Folders with heads: every tensor is where the loading engine looks for it, to the bit; every
// tensor of the source is in the report; what a format cannot hold is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "checkpoint/safetensors.h"
#include "convert/report.h"
#include "objective/sequential_mtp.h"
#include "tests/convert/memory_source.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Pairs = std::vector<std::pair<std::string, std::string>>;  // source, target

Config MedusaConfig(bool own_unembedding) {
  Config config = ConvertConfig();
  config.objective.name = "medusa";
  config.objective.Set("heads", 2);
  config.objective.Set("residual_layers", 2);
  config.objective.Set("own_unembedding", own_unembedding);
  return config;
}

Config MtpConfig() {
  Config config = ConvertConfig();
  config.model.head_dim = 12;
  config.objective.name = "sequential_mtp";
  config.objective.Set("depth", 1);
  return config;
}

// The file holds just these tensors, with the bits of their sources; no source: zeros.
void ExpectTensors(const std::string& path, const MemorySource& source, const Pairs& pairs) {
  const auto file = SafetensorsReader::Open(path).value();
  EXPECT_EQ(file->tensors().size(), pairs.size());
  for (const auto& [from, to] : pairs) {
    const auto found = file->Find(to);
    ASSERT_TRUE(found.ok()) << found.status();
    std::vector<float> values(static_cast<size_t>((*found)->bytes) / sizeof(float));
    ASSERT_TRUE(file->Read(**found, 0, static_cast<int64_t>(values.size()), values.data()).ok());
    if (from.empty()) {
      EXPECT_TRUE(SameBits(values, std::vector<float>(values.size()))) << to;
      continue;
    }
    const SourceTensor* tensor = source.Find(from);
    ASSERT_NE(tensor, nullptr) << from;
    EXPECT_EQ((*found)->shape, tensor->shape) << to;
    EXPECT_TRUE(SameBits(values, ReadWhole(source, *tensor))) << to;
  }
}

// Every tensor of the source has a line: where it went, or why it is left out.
void ExpectWholeReport(const std::string& folder, const MemorySource& source, const Pairs& pairs) {
  std::set<std::pair<std::string, std::string>> written;
  std::set<std::string> accounted;
  const nlohmann::json report = JsonOf(folder + "/" + kReportFile);
  for (const auto& entry : report["tensors"]) {
    const std::string from = entry["source"].is_null() ? "" : entry["source"].get<std::string>();
    accounted.insert(from);
    if (!entry["target"].is_null()) {
      written.insert({from, entry["target"].get<std::string>()});
    } else {
      EXPECT_EQ(entry["note"].get<std::string>().rfind("left out: ", 0), 0u) << entry;
    }
  }
  EXPECT_EQ(written, (std::set<std::pair<std::string, std::string>>(pairs.begin(), pairs.end())));
  for (const SourceTensor& tensor : source.tensors())
    EXPECT_TRUE(accounted.count(tensor.name)) << tensor.name;
}

TEST(ExportMedusa, BothLayoutsHoldTheHeads) {
  for (const bool own : {true, false}) {
    const Config config = MedusaConfig(own);
    const MemorySource source(config);
    Pairs vllm, original;
    for (int h = 0; h < 2; ++h) {
      const std::string ours = absl::StrCat("medusa.", h + 1, ".");
      for (int l = 0; l < 2; ++l) {
        for (const char* kind : {"weight", "bias"}) {
          const std::string from = absl::StrCat(ours, "blocks.", l, ".", kind);
          vllm.push_back({from, absl::StrCat("blocks.", h, ".layers.", l, ".", kind)});
          original.push_back({from, absl::StrCat(h, ".", l, ".linear.", kind)});
        }
      }
      const std::string from = own ? ours + "lm_head.weight" : "embedding.weight";
      if (own || h == 0) vllm.push_back({from, absl::StrCat("lm_heads.", h, ".weight")});
      original.push_back({from, absl::StrCat(h, ".2.weight")});
    }

    const std::string out = NewPath("medusa"), out_original = NewPath("medusa-original");
    const auto report = Export(JobOf(config, source), "medusa", out);
    ASSERT_TRUE(report.ok()) << report.status();
    ExpectTensors(out + "/model.safetensors", source, vllm);
    ExpectWholeReport(out, source, vllm);
    const nlohmann::json json = {{"architectures", {"MedusaModel"}},
                                 {"model_type", "medusa"},
                                 {"hidden_size", 48},
                                 {"vocab_size", 260},
                                 {"truncated_vocab_size", 260},
                                 {"num_heads", 2},
                                 {"num_hidden_layers", 2},
                                 {"medusa_fc_bias", true},
                                 {"original_lm_head", !own},
                                 {"max_position_embeddings", 64},
                                 {"bos_token_id", nullptr},
                                 {"eos_token_id", nullptr},
                                 {"pad_token_id", nullptr}};
    EXPECT_EQ(JsonOf(out + "/config.json"), json);
    EXPECT_TRUE(fs::exists(out + "/tokenizer.json"));
    EXPECT_NE(ReportText(*report).find("left out: format medusa holds the heads"),
              std::string::npos);

    ASSERT_TRUE(Export(JobOf(config, source), "medusa-original", out_original).ok());
    ExpectTensors(out_original + "/medusa_lm_head.safetensors", source, original);
    ExpectWholeReport(out_original, source, original);
    const nlohmann::json theirs = JsonOf(out_original + "/config.json");
    EXPECT_EQ(theirs["medusa_num_heads"], 2);
    EXPECT_EQ(theirs["medusa_num_layers"], 2);
    EXPECT_EQ(theirs["base_model_name_or_path"], "test");
  }
}

// The names of a layer's or the module's block.
void AddBlock(const std::string& ours, const std::string& theirs, bool biases, Pairs* pairs) {
  const std::map<std::string, std::string> names = {
      {"attention_norm.weight", "input_layernorm.weight"},
      {"mlp_norm.weight", "post_attention_layernorm.weight"},
      {"attention.q.weight", "self_attn.q_proj.weight"},
      {"attention.k.weight", "self_attn.k_proj.weight"},
      {"attention.v.weight", "self_attn.v_proj.weight"},
      {"attention.out.weight", "self_attn.o_proj.weight"},
      {"mlp.gate.weight", "mlp.gate_proj.weight"},
      {"mlp.up.weight", "mlp.up_proj.weight"},
      {"mlp.down.weight", "mlp.down_proj.weight"}};
  for (const auto& [from, to] : names) pairs->push_back({ours + from, theirs + to});
  for (const std::string which : {"q", "k", "v"}) {
    const std::string from = biases ? ours + "attention." + which + ".bias" : "";
    pairs->push_back({from, theirs + "self_attn." + which + "_proj.bias"});
  }
}

TEST(ExportMimo, HoldsTrunkAndModule) {
  for (const bool biases : {false, true}) {
    for (const bool tied : {false, true}) {
      Config config = MtpConfig();
      config.model.qkv_bias = biases;
      config.model.tie_embeddings = tied;
      config.objective.Set("depth", biases ? 1 : 3);
      config.objective.Set("share_weights", !biases);
      const MemorySource source(config);
      Pairs pairs = {{"embedding.weight", "model.embed_tokens.weight"},
                     {"final_norm.weight", "model.norm.weight"},
                     {tied ? "embedding.weight" : "lm_head.weight", "lm_head.weight"},
                     {"mtp.1.embedding_norm.weight", "model.mtp_layers.0.token_layernorm.weight"},
                     {"mtp.1.hidden_norm.weight", "model.mtp_layers.0.hidden_layernorm.weight"},
                     {"mtp.1.final_norm.weight", "model.mtp_layers.0.final_layernorm.weight"},
                     {"mtp.1.projection.weight", "model.mtp_layers.0.input_proj.weight"}};
      AddBlock("layers.0.", "model.layers.0.", biases, &pairs);
      AddBlock("layers.1.", "model.layers.1.", biases, &pairs);
      AddBlock("mtp.1.block.", "model.mtp_layers.0.", biases, &pairs);
      const std::string out = NewPath("mimo");
      const auto report = Export(JobOf(config, source), "mimo", out);
      ASSERT_TRUE(report.ok()) << report.status();
      ExpectTensors(out + "/model.safetensors", source, pairs);
      ExpectWholeReport(out, source, pairs);
      const nlohmann::json json = JsonOf(out + "/config.json");
      EXPECT_EQ(json["architectures"], nlohmann::json({"MiMoForCausalLM"}));
      EXPECT_EQ(json["model_type"], "mimo");
      EXPECT_EQ(json["num_nextn_predict_layers"], 1);
      EXPECT_EQ(json["attention_bias"], true);
      EXPECT_EQ(json["tie_word_embeddings"], false);
      EXPECT_EQ(json["num_hidden_layers"], 2);
      EXPECT_TRUE(fs::exists(out + "/configuration_mimo.py"));
      EXPECT_TRUE(fs::exists(out + "/tokenizer.json"));
      EXPECT_TRUE(fs::exists(out + "/generation_config.json"));
    }
  }
}

// Engines differ in which state of the trunk they give the module; the report says which was
// trained on.
TEST(ExportMimo, SaysWhichStateItWasTrainedOn) {
  for (const HiddenTap hidden : {HiddenTap::kFinalNorm, HiddenTap::kStream}) {
    Config config = MtpConfig();
    config.objective.Set("hidden", hidden);
    const MemorySource source(config);
    const auto report = Export(JobOf(config, source), "mimo", NewPath("mimo"));
    ASSERT_TRUE(report.ok()) << report.status();
    const std::string expected = hidden == HiddenTap::kStream
                                     ? "trained on the trunk's stream, which vLLM gives it"
                                     : "trained on the trunk's state after the final norm, which "
                                       "SGLang gives it";
    EXPECT_NE(ReportText(*report).find("mtp.1.hidden_norm.weight: " + expected), std::string::npos)
        << ReportText(*report);
  }
}

TEST(ExportHeads, ObjectivesNameFormatsThatThereAre) {
  for (const ObjectiveDescriptor& objective : Objectives()) {
    for (const std::string format : objective.formats) {
      EXPECT_TRUE(std::any_of(ExportFormats().begin(), ExportFormats().end(),
                              [&](const ExportFormat& f) { return format == f.name; }))
          << objective.name << ": " << format;
    }
  }
}

TEST(ExportHeads, RefusesWhatDoesNotFit) {
  for (const std::string format : {"medusa", "medusa-original"}) {
    ExpectRefused(ConvertConfig(), format,
                  "format " + format + ": objective next_token has no Medusa heads");
    ExpectRefused(MtpConfig(), format, "objective sequential_mtp has no Medusa heads");
    ExpectRefused(MedusaConfig(true), format,
                  "--trunk-only leaves heads out, which format " + format + " is for",
                  Leave::kHeads);
  }
  ExpectRefused(MedusaConfig(true), "mimo",
                "format mimo: objective medusa has no sequential MTP module");
  ExpectRefused(MtpConfig(), "mimo", "--trunk-only leaves heads out", Leave::kHeads);
  ExpectRefused(MtpConfig(), "hf",
                "of objective sequential_mtp: format hf holds the trunk alone; --trunk-only");
  Config config = MtpConfig();
  config.objective.Set("depth", 2);
  ExpectRefused(config, "mimo", "engines draft with one module, the model has 2");
  config = MtpConfig();
  config.model.qk_norm = true;
  ExpectRefused(config, "mimo", "MiMoForCausalLM has neither qk_norm nor a sliding_window");
  config = MtpConfig();
  config.model.sliding_window = 7;
  ExpectRefused(config, "mimo", "MiMoForCausalLM has neither qk_norm nor a sliding_window");
  config = MtpConfig();
  config.model.head_dim = 32;
  ExpectRefused(config, "mimo", "vLLM takes hidden / heads for head_dim, 48 / 4");
}

}  // namespace
}  // namespace tl
