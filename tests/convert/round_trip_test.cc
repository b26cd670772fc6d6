// SPDX-License-Identifier: Apache-2.0
// Exported as a Hugging Face folder and imported again: every weight to the bit, the same model.
#include <gtest/gtest.h>

#include <fstream>

#include "base/json.h"
#include "checkpoint/run_config.h"
#include "convert/import.h"
#include "convert/report.h"
#include "tests/convert/memory_source.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

void WriteJson(const std::string& path, const nlohmann::json& json) {
  std::ofstream(path) << json.dump();
}

struct Kind {
  const char* name;
  const char* architecture;
  void (*change)(ModelConfig&);
};

const Kind kKinds[] = {
    {"llama", "LlamaForCausalLM", [](ModelConfig&) {}},
    {"llama3", "LlamaForCausalLM",
     [](ModelConfig& m) {
       m.tie_embeddings = false;
       m.rope_theta = 500000.0;
       m.rope_scaling = {
           .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_context = 64};
     }},
    {"qwen2", "Qwen2ForCausalLM", [](ModelConfig& m) { m.qkv_bias = true; }},
    {"qwen3", "Qwen3ForCausalLM", [](ModelConfig& m) { m.qk_norm = true; }},
    {"mistral", "MistralForCausalLM",
     [](ModelConfig& m) {
       m.sliding_window = 7;
       m.tie_embeddings = false;
     }},
};

class EveryKind : public testing::TestWithParam<Kind> {};

TEST_P(EveryKind, ComesBackToTheBit) {
  Config config = ConvertConfig();
  GetParam().change(config.model);
  MemorySource source(config);
  source.values("final_norm.weight")[0] = -0.0f;
  ExportJob job = JobOf(config, source);
  job.shard_bytes = 60'000;  // several shards
  const std::string hf = NewPath("hf"), back = NewPath("back");
  const auto report = Export(job, "hf", hf);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(fs::exists(hf + "/model.safetensors.index.json"));
  EXPECT_EQ(JsonOf(hf + "/config.json")["architectures"][0], GetParam().architecture);
  EXPECT_EQ(JsonOf(hf + "/" + kReportFile)["tensors"].size(), source.tensors().size());
  const auto imported = ImportHuggingFace(hf, back);
  ASSERT_TRUE(imported.ok()) << imported.status();

  const auto weights = OpenRunWeights(back).value();
  ASSERT_EQ(weights->tensors().size(), source.tensors().size());
  for (const SourceTensor& tensor : source.tensors()) {
    const SourceTensor* other = weights->Find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(other->shape, tensor.shape) << tensor.name;
    EXPECT_TRUE(SameBits(ReadWhole(source, tensor), ReadWhole(*weights, *other))) << tensor.name;
  }
  ModelConfig expected = config.model;
  expected.kv_heads = 2;
  EXPECT_EQ(LoadRunConfig(back).value().model, expected);
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryKind, testing::ValuesIn(kKinds),
                         [](const auto& info) { return std::string(info.param.name); });

// What is rounded once stays as it is.
TEST(RoundTrip, HalfPrecisionIsKept) {
  const Config config = ConvertConfig();
  const MemorySource source(config);
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    ExportJob job = JobOf(config, source);
    job.dtype = dtype;
    const std::string first = NewPath("first"), back = NewPath("back"), second = NewPath("second");
    ASSERT_TRUE(Export(job, "hf", first).ok());
    ASSERT_TRUE(ImportHuggingFace(first, back).ok());
    const auto weights = OpenRunWeights(back).value();
    EXPECT_EQ(weights->tensors()[0].dtype, dtype);
    job.source = weights.get();
    job.config = LoadRunConfig(back).value();
    EXPECT_EQ(job.config.precision.compute,
              dtype == DType::kBF16 ? Precision::kBf16 : Precision::kFp16);
    job.config.train.sequence_length = config.train.sequence_length;
    ASSERT_TRUE(Export(job, "hf", second).ok());
    const auto a = OpenHuggingFaceWeights(first).value(),
               b = OpenHuggingFaceWeights(second).value();
    ASSERT_EQ(a->tensors().size(), source.tensors().size());
    for (const SourceTensor& tensor : a->tensors()) {
      EXPECT_EQ(tensor.dtype, dtype);
      EXPECT_TRUE(SameBits(ReadWhole(*a, tensor), ReadWhole(*b, *b->Find(tensor.name))));
    }
    EXPECT_EQ(JsonOf(first + "/config.json"), JsonOf(second + "/config.json"));
  }
}

TEST(Export, RefusesWhatDoesNotFit) {
  const Config config = ConvertConfig();
  MemorySource source(config);
  const ExportJob job = JobOf(config, source);
  const std::string out = NewPath("refused");
  ExpectError(Export(job, "onnx", out).status(),
              "--format onnx: expected one of hf, medusa, medusa-original, mimo, gguf");

  ExportJob mixed = job;
  mixed.config.model.qkv_bias = mixed.config.model.qk_norm = true;
  const MemorySource mix(mixed.config);
  mixed.source = &mix;
  ExpectError(Export(mixed, "hf", out).status(),
              "no architecture has qkv_bias (Qwen2's) and qk_norm (Qwen3's) together");
  ExpectError(Export(mixed, "gguf", out).status(), "no architecture with qkv_bias");

  source.values("final_norm.weight")[3] = 70000.0f;
  ExportJob half = job;
  half.dtype = DType::kF16;
  ExpectError(Export(half, "hf", out).status(),
              "tensor final_norm.weight: 70000 does not fit fp16");
  EXPECT_TRUE(Export(job, "hf", NewPath("fits")).ok());

  ExportJob other = job;
  other.config.model.ffn = 96;
  ExpectError(Export(other, "hf", out).status(), "expected [96, 48], found [80, 48]");
  source.Add("stranger", {3});
  ExpectError(Export(job, "hf", out).status(), "tensor stranger [3] is not the model's");
  source.Remove("stranger");
  source.Remove("layers.1.mlp.up.weight");
  ExpectError(Export(job, "hf", out).status(),
              "tensor layers.1.mlp.up.weight: expected [80, 48], found none");
  EXPECT_FALSE(fs::exists(out));
  for (const auto& entry : fs::directory_iterator(Folder()))
    EXPECT_EQ(entry.path().string().find(".tmp-"), std::string::npos) << entry.path();
}

TEST(Export, OverwritesNothing) {
  const Config config = ConvertConfig();
  const MemorySource source(config);
  const std::string out = NewPath("taken");
  fs::create_directories(out);
  ASSERT_TRUE(Export(JobOf(config, source), "hf", out + "/").ok()) << "an empty folder is free";
  const auto before = ReadTextFile(out + "/config.json", 1 << 20).value();
  ExpectError(Export(JobOf(config, source), "hf", out).status(), out + ": exists");
  EXPECT_EQ(ReadTextFile(out + "/config.json", 1 << 20).value(), before);
}

// An exported folder whose files a test may change.
class Import : public testing::Test {
 protected:
  void SetUp() override {
    const Config config = ConvertConfig();
    const MemorySource source(config);
    ExportJob job = JobOf(config, source);
    job.shard_bytes = 60'000;
    ASSERT_TRUE(Export(job, "hf", hf_).ok());
  }
  absl::Status Run() {
    const std::string out = NewPath("imported");
    const absl::Status status = ImportHuggingFace(hf_, out).status();
    EXPECT_EQ(fs::exists(out), status.ok());
    return status;
  }
  void ChangeConfig(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json json = JsonOf(hf_ + "/config.json");
    change(json);
    WriteJson(hf_ + "/config.json", json);
  }
  void ChangeIndex(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json json = JsonOf(index_);
    change(json["weight_map"]);
    WriteJson(index_, json);
  }
  std::string hf_ = NewPath("hf"), index_ = hf_ + "/model.safetensors.index.json";
};

TEST_F(Import, ReadsTheFolderAsItIs) { EXPECT_TRUE(Run().ok()); }

TEST_F(Import, RefusesIndexesThatLeadAstray) {
  const auto map = JsonOf(index_)["weight_map"];
  const std::string norm = "model.norm.weight", file = map[norm];
  for (const char* bad : {"../model.safetensors", "/etc/passwd", "sub/model.safetensors",
                          "..\\model.safetensors", "model.bin", ".safetensors", ""}) {
    ChangeIndex([&](nlohmann::json& m) { m[norm] = bad; });
    ExpectError(Run(), "tensor \"model.norm.weight\": expected the name of a .safetensors file");
  }
  ChangeIndex([&](nlohmann::json& m) { m[norm] = 3; });
  ExpectError(Run(), "expected the name of a .safetensors file in this folder, found 3");
  ChangeIndex([&](nlohmann::json& m) { m[norm] = "none.safetensors"; });
  ExpectError(Run(), "not say");
  ChangeIndex([&](nlohmann::json& m) { m[norm] = file; });
  ASSERT_TRUE(Run().ok());
  ChangeIndex([&](nlohmann::json& m) { m["model.extra"] = file; });
  ExpectError(Run(), "tensor \"model.extra\" is not in " + file + ", where the index has it");
  ChangeIndex([&](nlohmann::json& m) {
    m.erase("model.extra");
    m.erase(norm);
  });
  ExpectError(Run(), "tensor \"model.norm.weight\" is also in " + file);
  std::ofstream(index_) << R"({"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}})";
  ExpectError(Run(), "the key \"a\" occurs twice in one object");
  std::ofstream(index_) << R"({"weight_map": {}})";
  ExpectError(Run(), "the weight_map is empty");
  std::ofstream(index_) << "[]";
  ExpectError(Run(), "expected an object with a weight_map");
  fs::remove(index_);
  ExpectError(Run(), "expected model.safetensors or model.safetensors.index.json");
}

TEST_F(Import, RefusesTensorsThatAreNotTheModels) {
  ChangeConfig([](nlohmann::json& c) { c["intermediate_size"] = 96; });
  ExpectError(Run(), "by its config.json the shape is [96, 48]");
  ChangeConfig([](nlohmann::json& c) {
    c["intermediate_size"] = 80;
    c["num_hidden_layers"] = 3;
  });
  ExpectError(Run(), "no tensor \"model.layers.2.");
  ChangeConfig([](nlohmann::json& c) { c["num_hidden_layers"] = 1; });
  ExpectError(Run(), "\" [48]: by its config.json the model has no such tensor");
  ChangeConfig([](nlohmann::json& c) {
    c["num_hidden_layers"] = 2;
    c["tie_word_embeddings"] = false;
  });
  ExpectError(Run(), "no tensor \"lm_head.weight\", which the model of its config.json has");
  ChangeConfig([](nlohmann::json& c) {
    c["tie_word_embeddings"] = true;
    c["vocab_size"] = 261;
  });
  ExpectError(Run(), "by its config.json the shape is [261, 48]");
}

TEST_F(Import, RefusesSizesBeyondCounting) {
  ChangeConfig([](nlohmann::json& c) {
    c["hidden_size"] = c["intermediate_size"] = c["vocab_size"] = 2147483647;
    c["num_hidden_layers"] = 1024;
  });
  ExpectError(Run(), "parameters: expected at most 2^56");
}

TEST_F(Import, RefusesATokenizerItCannotRead) {
  std::ofstream(hf_ + "/tokenizer.json") << R"({"model": {"type": "WordPiece"}})";
  ExpectError(Run(), "tokenizer.json: model type 'WordPiece'");
  fs::remove(hf_ + "/tokenizer.json");
  ExpectError(Run(), "expected tokenizer.json or tokenizer.model in this folder, found neither");
}

// Some checkpoints carry a copy of the tied embedding, and rotary tables.
TEST(ImportTied, LeavesOutCopiesAndSaysSo) {
  Config config = ConvertConfig();
  config.model.tie_embeddings = false;
  MemorySource source(config);
  source.values("lm_head.weight") = source.values("embedding.weight");
  for (const bool same : {true, false}) {
    if (!same) source.values("lm_head.weight")[5] += 1.0f;
    const std::string hf = NewPath("hf"), out = NewPath("tied");
    ASSERT_TRUE(Export(JobOf(config, source), "hf", hf).ok());
    nlohmann::json json = JsonOf(hf + "/config.json");
    json["tie_word_embeddings"] = true;
    WriteJson(hf + "/config.json", json);
    const auto report = ImportHuggingFace(hf, out);
    if (!same) {
      ExpectError(report.status(),
                  "tensor \"lm_head.weight\" [260, 48]: differs from the embedding, with which");
      continue;
    }
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_NE(ReportText(*report).find("lm_head.weight: left out: equal to the embedding"),
              std::string::npos);
    EXPECT_EQ(OpenRunWeights(out).value()->Find("lm_head.weight"), nullptr);
  }
}

}  // namespace
}  // namespace tl
