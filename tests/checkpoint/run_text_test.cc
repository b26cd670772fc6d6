// SPDX-License-Identifier: Apache-2.0
// Where a run's tokenizer and text rules come from, and that they stay with it.
#include "checkpoint/run_text.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/token_file.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

std::string At(const std::string& name) { return Folder() + "/" + name; }

std::string NewFolder(const std::string& name) {
  fs::remove_all(At(name));
  fs::create_directories(At(name));
  return At(name);
}

std::shared_ptr<const Tokenizer> Golden(const std::string& name) {
  return LoadTokenizer(TL_SOURCE_DIR "/tests/data/golden/" + name + ".json").value();
}

// As an import leaves it: qwen2's tokenizer, end 302.
std::string Imported() {
  const std::string folder = NewFolder("imported");
  ModelText text{.tokenizer = Golden("qwen2"),
                 .rules = {.begin = 1, .adds_begin = true, .ends = {302}, .context_length = 40960},
                 .files = {{"config.json", R"({"eos_token_id": 302})"}}};
  EXPECT_TRUE(SaveModelText(text, folder).ok());
  std::ofstream(folder + "/weights.safetensors") << "x";
  return folder;
}

std::string Tokens(const std::string& name, const Tokenizer* tokenizer, int32_t end = -1) {
  auto writer = tokenizer != nullptr ? TokenFileWriter::Create(At(name), *tokenizer)
                                     : TokenFileWriter::Create(At(name), 300);
  if (tokenizer != nullptr) (*writer)->SetEnds(-1, end);
  EXPECT_TRUE((*writer)->Append({2, 3}, 2).ok());
  EXPECT_TRUE((*writer)->Finish().ok());
  return At(name);
}

Config RunConfig(const std::string& tokens, const std::string& init_from) {
  Config config;
  config.model.vocab = 410;
  config.data.train = {{tokens}};
  config.run.dir = NewFolder("run");
  config.run.init_from = init_from;
  return config;
}

TEST(RunText, TokensThatTellNoTokenizerLeaveTheImports) {
  const Config config = RunConfig(Tokens("foreign.tok", nullptr), Imported());
  ASSERT_TRUE(SaveRunText(config, RunStart::kFresh).ok());
  fs::remove_all(At("imported"));
  const auto text = LoadRunText(config.run.dir, config);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->tokenizer->hash(), Golden("qwen2")->hash());
  EXPECT_EQ(text->rules.ends, (std::vector<int32_t>{302}));
  EXPECT_TRUE(text->rules.adds_begin);
  EXPECT_EQ(text->files.count("config.json"), 1u);
}

TEST(RunText, TheEndOfTheTokensJoinsThoseOfTheImport) {
  const std::string from = Imported() + "/weights.safetensors";
  const Config config = RunConfig(Tokens("own.tok", Golden("qwen2").get(), 0), from);
  const auto text = TextOfConfig(config);
  ASSERT_TRUE(text.ok() && text->has_value()) << text.status();
  EXPECT_EQ((*text)->rules.ends, (std::vector<int32_t>{302, 0}));
  EXPECT_EQ((*text)->rules.context_length, 40960);
}

TEST(RunText, AnotherTokenizerOfTheTokensWins) {
  const Config config = RunConfig(Tokens("other.tok", Golden("gpt2").get(), 7), Imported());
  const auto text = TextOfConfig(config);
  ASSERT_TRUE(text.ok() && text->has_value()) << text.status();
  EXPECT_EQ((*text)->tokenizer->hash(), Golden("gpt2")->hash());
  EXPECT_EQ((*text)->rules, (TextRules{.ends = {7}}));
}

TEST(RunText, ResumingKeepsWhatIsThere) {
  Config config = RunConfig(Tokens("kept.tok", Golden("qwen2").get(), 0), Imported());
  ASSERT_TRUE(SaveRunText(config, RunStart::kFresh).ok());
  config.run.init_from = At("gone");
  ASSERT_TRUE(SaveRunText(config, RunStart::kResumed).ok());
  EXPECT_EQ(LoadRunText(config.run.dir, config)->rules.ends, (std::vector<int32_t>{302, 0}));
  config.data.train = {{Tokens("changed.tok", Golden("gpt2").get(), 7)}};
  ASSERT_TRUE(SaveRunText(config, RunStart::kResumed).ok());
  EXPECT_EQ(LoadRunText(config.run.dir, config)->rules.ends, (std::vector<int32_t>{7}));
}

TEST(RunText, IsFoundInCheckpointsAndInTheRunOfACheckpoint) {
  Config config = RunConfig(At("gone.tok"), "");
  const std::string run = config.run.dir, step = run + "/step_00000004";
  fs::create_directories(step);
  EXPECT_EQ(FindText(run), "");
  const absl::Status none = LoadRunText(run, config).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(none)) << none;
  EXPECT_NE(none.message().find("expected a tokenizer in this folder"), std::string::npos) << none;
  EXPECT_NE(none.message().find("not there: " + At("gone.tok")), std::string::npos) << none;
  ASSERT_TRUE(SaveModelText(TextOf(MakeByteTokenizer()), run).ok());
  std::ofstream(step + "/manifest.json") << "x";
  EXPECT_EQ(FindText(step + "/"), run) << "the checkpoint is from before each had its own";
  ASSERT_TRUE(CopyModelText(run, step).ok());
  EXPECT_EQ(FindText(step), step);
  fs::remove_all(run + "/tokenizer");
  EXPECT_EQ(FindText(run), step);
  EXPECT_TRUE(LoadRunText(run, config).ok());
  config.model.vocab = 255;
  EXPECT_NE(LoadRunText(run, config).status().message().find("larger than the model's, 255"),
            std::string::npos);
}

TEST(RunText, ReadsTheFolderOfAnEarlierImport) {
  const Config config = RunConfig(At("gone.tok"), "");
  fs::copy_file(TL_SOURCE_DIR "/tests/data/golden/qwen2.json", config.run.dir + "/tokenizer.json");
  EXPECT_EQ(LoadRunText(config.run.dir, config)->rules, (TextRules{.ends = {0}}));
}

}  // namespace
}  // namespace tl
