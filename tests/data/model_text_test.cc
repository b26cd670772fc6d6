// SPDX-License-Identifier: Apache-2.0
// The folder that runs and checkpoints keep their tokenizer in.
#include "data/model_text.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/data/file_bytes.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

std::string NewFolder(const std::string& name) {
  const std::string path = Folder() + "/" + name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

const std::string kQwen2Tokenizer = TL_SOURCE_DIR "/tests/data/golden/qwen2.json";

// A Hugging Face folder.
std::string Source() {
  const std::string folder = NewFolder("source");
  fs::copy_file(kQwen2Tokenizer, folder + "/tokenizer.json");
  Write(folder + "/config.json", R"({"eos_token_id": [302, 7], "max_position_embeddings": 40960})");
  Write(folder + "/tokenizer_config.json", R"({"eos_token": "<|im_start|>", "odd": NaN})");
  Write(folder + "/chat_template.jinja", "{{ messages }}");
  Write(folder + "/README.md", "not kept");
  return folder;
}

TEST(ModelText, IsKeptAsItWas) {
  const auto text = ReadModelText(Source());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->rules, (TextRules{.ends = {1, 302, 7}, .context_length = 40960}));
  const std::string run = NewFolder("run"), step = NewFolder("step"), copy = Folder() + "/copy";
  ASSERT_TRUE(SaveModelText(*text, run).ok());
  ASSERT_TRUE(CopyModelText(run, step).ok());
  fs::remove_all(copy);
  fs::copy(step, copy, fs::copy_options::recursive);
  fs::remove_all(run);
  for (const std::string& where : {step, copy, copy + "/tokenizer"}) {
    const auto back = ReadModelText(where);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->rules, text->rules);
    EXPECT_EQ(back->files, text->files);
    EXPECT_EQ(back->files.count("README.md"), 0u);
    EXPECT_EQ(back->tokenizer->hash(), text->tokenizer->hash());
  }
}

TEST(ModelText, AFileHasTheRulesOfThoseBesideIt) {
  const std::string folder = Source();
  EXPECT_EQ(ReadModelText(folder + "/tokenizer.json")->rules.end(), 1);
  fs::rename(folder + "/tokenizer.json", folder + "/other.json");
  EXPECT_EQ(ReadModelText(folder + "/other.json")->rules, (TextRules{.ends = {0}}));
}

TEST(ModelText, BytesNeedNoFile) {
  const std::string run = NewFolder("bytes");
  ModelText text = TextOf(MakeByteTokenizer());
  EXPECT_EQ(text.rules, TextRules());
  text.rules.ends = {10};
  EXPECT_FALSE(HasModelText(run));
  ASSERT_TRUE(SaveModelText(text, run).ok());
  const auto back = ReadModelText(run);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->tokenizer->kind(), TokenizerKind::kBytes);
  EXPECT_EQ(back->rules, text.rules);
}

TEST(ModelText, ReplacesAnotherWholeAndKeepsTheSame) {
  const std::string run = NewFolder("twice");
  const ModelText text = ReadModelText(Source()).value();
  ASSERT_TRUE(SaveModelText(text, run).ok());
  const auto written = fs::last_write_time(run + "/tokenizer/rules.json");
  ASSERT_TRUE(SaveModelText(text, run).ok());
  EXPECT_EQ(fs::last_write_time(run + "/tokenizer/rules.json"), written);
  ASSERT_TRUE(SaveModelText(TextOf(MakeByteTokenizer()), run).ok());
  EXPECT_EQ(ReadModelText(run)->tokenizer->kind(), TokenizerKind::kBytes);
  EXPECT_FALSE(fs::exists(run + "/tokenizer/tokenizer.json"));
  EXPECT_EQ(std::distance(fs::directory_iterator(run), {}), 1) << "nothing is left beside it";
  fs::permissions(run, fs::perms::none);
  if (access(run.c_str(), W_OK) != 0) {  // root may
    EXPECT_FALSE(SaveModelText(text, run).ok());
  }
  fs::permissions(run, fs::perms::all);
}

TEST(ModelText, RefusesDamagedRules) {
  const std::string run = NewFolder("damaged_run");
  ASSERT_TRUE(SaveModelText(TextOf(MakeByteTokenizer()), run).ok());
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string json = WriteTextRules({.begin = 5, .adds_begin = true, .ends = {3}}, kBytesName);
    const size_t at = json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    Write(run + "/tokenizer/rules.json", json.replace(at, from.size(), to));
    return std::string(ReadModelText(run).status().message());
  };
  EXPECT_EQ(error("5", "5"), "");
  for (const auto& [from, to, part] : std::initializer_list<std::array<std::string, 3>>{
           {"trunkline text rules", "else", "expected trunkline text rules"},
           {"\"version\": 1", "\"version\": 2", "\"version\": expected 1, found 2"},
           {"\"bytes\"", "\"words\"", "\"tokenizer\": expected \"bytes\""},
           {"\"begin\": 5", "\"begin\": -5", "\"begin\": expected a token's number or null"},
           {"\"begin\": 5", "\"begin\": null", "\"begin\": expected a token's number, found null"},
           {"\"adds_begin\": true", "\"adds_begin\": 1", "\"adds_begin\": expected true or false"},
           {"    3", "    \"3\"", "\"ends\": expected a list of tokens"},
           {"\"context_length\": 0", "\"context_length\": -1", "\"context_length\": expected"},
           {"\"context_length\": 0", "\"context\": 0", "found nothing"},
           {"{", "", "not JSON"}}) {
    EXPECT_NE(error(from, to).find(part), std::string::npos) << error(from, to) << "\n" << part;
  }
}

}  // namespace
}  // namespace tl
