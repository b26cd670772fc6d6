// SPDX-License-Identifier: Apache-2.0
// What an imported folder says of texts comes back from every export as it was.
#include <gtest/gtest.h>

#include <fstream>

#include "base/json.h"
#include "checkpoint/run_config.h"
#include "convert/import.h"
#include "tests/convert/memory_source.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

std::string Text(const std::string& path) { return ReadTextFile(path, 1 << 24).value(); }
void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

constexpr char kGeneration[] =
    "{\"eos_token_id\": [302, 7],\n \"do_sample\": true, \"top_k\": 20, \"temperature\": 0.6}";
constexpr char kTokenizerConfig[] =
    "{\"eos_token\": \"<|im_start|>\", \"chat_template\": \"{% for m in messages %}\",\n"
    " \"model_max_length\": 1000000000000000019884624838656, \"odd\": Infinity}";
constexpr char kTemplate[] = "{{ messages }}\n";

class TextRoundTrip : public testing::Test {
 protected:
  void SetUp() override {
    config_ = ConvertConfig();
    config_.model.vocab = 410;
    config_.model.tie_embeddings = true;
    const MemorySource source(config_);
    ASSERT_TRUE(Export(JobOf(config_, source), "hf", hf_).ok());
    fs::copy_file(TL_SOURCE_DIR "/tests/data/golden/qwen2.json", hf_ + "/tokenizer.json",
                  fs::copy_options::overwrite_existing);
    auto json = nlohmann::ordered_json::parse(Text(hf_ + "/config.json"));
    json["eos_token_id"] = 302;
    json["bos_token_id"] = 1;
    json["max_position_embeddings"] = 40960;
    json["transformers_version"] = "4.51.0";
    json["partial_list"] = {1, 2.5, nullptr};
    json["odd"] = "\1NaN";  // written as NaN
    json["torch_dtype"] = "bfloat16";
    config_text_ = DumpPythonJson(json);
    Write(hf_ + "/config.json", config_text_);
    Write(hf_ + "/generation_config.json", kGeneration);
    Write(hf_ + "/tokenizer_config.json", kTokenizerConfig);
    Write(hf_ + "/chat_template.jinja", kTemplate);
    ASSERT_TRUE(ImportHuggingFace(hf_, run_).ok());
    weights_ = OpenRunWeights(run_).value();
    job_.config = LoadRunConfig(run_).value();
    job_.source = weights_.get();
    job_.dtype = DType::kBF16;
    job_.text = ReadModelText(run_).value();
  }
  nlohmann::json Exported(const std::string& format, const std::string& file = "config.json") {
    const std::string out = NewPath(format);
    const auto report = Export(job_, format, out);
    EXPECT_TRUE(report.ok()) << report.status();
    out_ = out;
    return ParsePythonJson(Text(out + "/" + file), file).value();
  }

  Config config_;
  const std::string hf_ = NewPath("folder"), run_ = NewPath("run");
  std::string config_text_, out_;
  std::unique_ptr<WeightSource> weights_;
  ExportJob job_;
};

TEST_F(TextRoundTrip, HuggingFaceFilesStayAsTheyWere) {
  EXPECT_EQ(Exported("hf"), ParsePythonJson(config_text_, "").value());
  for (const char* name : {"config.json", "generation_config.json", "tokenizer_config.json",
                           "chat_template.jinja", "tokenizer.json"})
    EXPECT_EQ(Text(out_ + "/" + name), Text(hf_ + "/" + name)) << name;
}

TEST_F(TextRoundTrip, WhatTheRunChangedIsWritten) {
  job_.dtype = DType::kF32;
  job_.config.train.sequence_length = 50000;
  job_.text.rules.ends.push_back(0);
  auto expected = ParsePythonJson(config_text_, "").value();
  expected["torch_dtype"] = "float32";
  expected["max_position_embeddings"] = 50000;
  expected["eos_token_id"] = {1, 302, 7, 0};
  EXPECT_EQ(Exported("hf"), expected);
  auto generation = nlohmann::json::parse(kGeneration);
  generation["eos_token_id"] = {1, 302, 7, 0};
  EXPECT_EQ(ParseJson(Text(out_ + "/generation_config.json"), "").value(), generation);
  EXPECT_EQ(Text(out_ + "/tokenizer_config.json"), kTokenizerConfig);
}

// A folder without generation_config.json gets none.
TEST_F(TextRoundTrip, NoFileIsMadeUp) {
  job_.text.files.erase("generation_config.json");
  job_.text.files.erase("chat_template.jinja");
  job_.text.rules.ends = {1, 302};
  Exported("hf");
  EXPECT_FALSE(fs::exists(out_ + "/generation_config.json"));
  EXPECT_FALSE(fs::exists(out_ + "/chat_template.jinja"));
}

// A second way through ends in the same folder.
TEST_F(TextRoundTrip, TwiceIsOnce) {
  Exported("hf");
  const std::string again = NewPath("again");
  ASSERT_TRUE(ImportHuggingFace(out_, again).ok());
  const ModelText text = ReadModelText(again).value();
  EXPECT_EQ(text.rules, job_.text.rules);
  EXPECT_EQ(text.files, job_.text.files);
}

// Of a run that was not imported, the rules alone are known.
TEST(TextExport, FilesAreMadeOfTheRules) {
  Config config = ConvertConfig();
  config.model.vocab = 410;
  const MemorySource source(config);
  ExportJob job = JobOf(config, source);
  job.text.tokenizer = LoadTokenizer(TL_SOURCE_DIR "/tests/data/golden/qwen2.json").value();
  job.text.rules = {.begin = 1, .adds_begin = true, .ends = {0, 302}, .pad = 5};
  const std::string out = NewPath("made");
  ASSERT_TRUE(Export(job, "hf", out).ok());
  const auto json = JsonOf(out + "/config.json"),
             generation = JsonOf(out + "/generation_config.json"),
             tokenizer = JsonOf(out + "/tokenizer_config.json");
  for (const auto& c : {json, generation}) {
    EXPECT_EQ(c["bos_token_id"], 1);
    EXPECT_EQ(c["eos_token_id"], (std::vector<int>{0, 302}));
    EXPECT_EQ(c["pad_token_id"], 5);
  }
  EXPECT_EQ(json["max_position_embeddings"], config.train.sequence_length);
  EXPECT_EQ(tokenizer["eos_token"], "<|endoftext|>");
  EXPECT_EQ(tokenizer["bos_token"], "<|im_start|>");
  EXPECT_EQ(tokenizer["add_bos_token"], true);
  EXPECT_EQ(ReadModelText(out)->rules.ends, job.text.rules.ends);
}

}  // namespace
}  // namespace tl
