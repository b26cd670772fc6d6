// SPDX-License-Identifier: Apache-2.0
// Hugging Face folders as people have them: docs/reference/folders.md has the table.
#include <gtest/gtest.h>

#include <fstream>

#include "base/json.h"
#include "convert/import.h"
#include "tests/convert/memory_source.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

class FolderVariants : public testing::Test {
 protected:
  void SetUp() override { Write(false); }
  // Exports the folder anew, in one file or in several.
  void Write(bool sharded) {
    const Config config = ConvertConfig();
    const MemorySource source(config);
    ExportJob job = JobOf(config, source);
    if (sharded) job.shard_bytes = 60'000;
    fs::remove_all(hf_);
    ASSERT_TRUE(Export(job, "hf", hf_).ok());
  }
  void ChangeConfig(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json json = JsonOf(hf_ + "/config.json");
    change(json);
    std::ofstream(hf_ + "/config.json") << json.dump();
  }
  void Put(const std::string& name, const std::string& text) {
    std::ofstream(hf_ + "/" + name) << text;
  }
  absl::Status Run() {
    out_ = NewPath("imported");
    const absl::Status status = ImportHuggingFace(hf_, out_).status();
    EXPECT_EQ(fs::exists(out_), status.ok());
    return status;
  }
  const std::string hf_ = NewPath("variant");
  std::string out_;
};

TEST_F(FolderVariants, ModelTypeAloneNamesTheArchitecture) {
  for (const nlohmann::json& none : {nlohmann::json(nullptr), nlohmann::json::array()}) {
    ChangeConfig([&](nlohmann::json& c) { c["architectures"] = none; });
    EXPECT_TRUE(Run().ok());
  }
  ChangeConfig([](nlohmann::json& c) {
    c.erase("architectures");
    c["model_type"] = "gpt_neox";
  });
  ExpectError(Run(), "architecture of model_type gpt_neox is not supported; those that are: Llama");
  ChangeConfig([](nlohmann::json& c) { c.erase("model_type"); });
  ExpectError(Run(), "architecture nothing is not supported");
  ChangeConfig([](nlohmann::json& c) {
    c["architectures"] = {"MambaForCausalLM"};
    c["model_type"] = "llama";
  });
  ExpectError(Run(), "architecture MambaForCausalLM is not supported");
}

TEST_F(FolderVariants, NumbersThatPythonWrites) {
  const std::string text = ReadTextFile(hf_ + "/config.json", 1 << 20).value();
  Put("config.json", "{\"time_step_limit\": [0.0, Infinity], \"x\": NaN, " + text.substr(1));
  EXPECT_TRUE(Run().ok());
  std::string bad = text;
  const std::string key = "\"rms_norm_eps\": ";
  const size_t at = bad.find(key) + key.size();
  Put("config.json", bad.replace(at, bad.find(',', at) - at, "NaN"));
  ExpectError(Run(), "\"rms_norm_eps\": expected a number, found NaN");
}

TEST_F(FolderVariants, ASingleFileGoesBeforeAnIndex) {
  Put("model.safetensors.index.json", R"({"weight_map": {"a": "gone.safetensors"}})");
  EXPECT_TRUE(Run().ok());
}

TEST_F(FolderVariants, AnIndexMayNameTheCopyOfATiedEmbedding) {
  Write(true);
  const std::string index = hf_ + "/model.safetensors.index.json";
  nlohmann::json json = JsonOf(index);
  json["weight_map"]["lm_head.weight"] = json["weight_map"]["model.norm.weight"];
  std::ofstream(index) << json.dump();
  EXPECT_TRUE(Run().ok());
  ChangeConfig([](nlohmann::json& c) { c["tie_word_embeddings"] = false; });
  ExpectError(Run(), "no tensor \"lm_head.weight\", which the model of its config.json has");
}

TEST_F(FolderVariants, PointersOfGitLfs) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 17\n";
  for (const char* file :
       {"config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"}) {
    Write(false);
    Put(file, pointer);
    ExpectError(Run(), std::string(file) + ": a pointer of Git LFS, not the file itself");
  }
  Write(true);
  Put("model.safetensors.index.json", pointer);
  ExpectError(Run(), "model.safetensors.index.json: a pointer of Git LFS");
}

TEST_F(FolderVariants, TypesThatAreNoWeights) {
  for (const auto& [type, matter] :
       {std::pair{"F8_E4M3", "(weights quantized to FP8)"}, {"BOOL", "(a mask, no weights)"}}) {
    const std::string header =
        R"({"x": {"dtype": ")" + std::string(type) + R"(", "shape": [8], "data_offsets": [0, 8]}})";
    const uint64_t size = header.size();
    std::string bytes(reinterpret_cast<const char*>(&size), sizeof(size));
    std::ofstream(hf_ + "/model.safetensors", std::ios::binary)
        << bytes + header + std::string(8, '\0');
    ExpectError(Run(), "tensor \"x\": dtype " + std::string(type));
    ExpectError(Run(), std::string(matter) + " is not read; expected F32, BF16 or F16");
  }
}

TEST_F(FolderVariants, TokenizersThatDoNotFit) {
  nlohmann::json json = JsonOf(hf_ + "/tokenizer.json");
  for (int id = 256; id <= 260; ++id) {
    json["added_tokens"].push_back(
        {{"id", id}, {"content", id == 260 ? "<pad>" : "<x" + std::to_string(id) + ">"}});
  }
  Put("tokenizer.json", json.dump());
  ExpectError(Run(),
              "its tokenizer has 261 tokens, the model's vocab_size is 260: no row for "
              "<pad> (260); take such tokens out of tokenizer.json's added_tokens");
  fs::remove(hf_ + "/tokenizer.json");
  Put("tokenizer.model", "IQ== 0\nIg== 1\n");
  ExpectError(Run(), "tokenizer.model: a list of tokens as tiktoken has it");
}

TEST_F(FolderVariants, Adapters) {
  Put("adapter_config.json", "{}");
  ExpectError(Run(), "adapter_config.json: the folder holds an adapter (LoRA)");
}

TEST_F(FolderVariants, SizesThatNoKernelHas) {
  for (const int size : {16, 100}) {
    ChangeConfig([&](nlohmann::json& c) { c["head_dim"] = size; });
    ExpectError(Run(), "[model] head_dim = " + std::to_string(size) +
                           ": expected a multiple of 8 from 32 to 256; the sizes of weights that "
                           "are there cannot be changed: import a model whose sizes fit");
  }
}

}  // namespace
}  // namespace tl
