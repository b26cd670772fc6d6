// SPDX-License-Identifier: Apache-2.0
// Data of another tokenizer than the model's, and other content under the same path.
#include <cstring>

#include "absl/strings/str_format.h"
#include "checkpoint/reader.h"
#include "data/token_file.h"
#include "data/token_file_format.h"
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"
#include "tests/program/token_files.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr int kSeconds = 60;

std::string At(const std::string& name) { return Folder() + "/" + name; }

Outcome RunAlone(const Strings& arguments) { return RunShell(ProgramLine(1, arguments), kSeconds); }

Strings Training(const std::string& run, const Strings& sets = {}) {
  Strings arguments = {"train", At("tiny.toml"), "--set", "run.dir=" + At(run)};
  arguments.insert(arguments.end(), sets.begin(), sets.end());
  return arguments;
}

void ExpectGood(const Outcome& outcome) { EXPECT_EQ(outcome.exit_code, 0) << outcome.output; }

Manifest ManifestOf(const std::string& run, const std::string& step = "step_00000002") {
  const auto reader = CheckpointReader::Open(At(run) + "/" + step);
  EXPECT_TRUE(reader.ok()) << reader.status();
  return reader.ok() ? (*reader)->manifest() : Manifest();
}

class Files : public testing::Environment {
 public:
  void SetUp() override {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 300; ++i) text += "In the beginning God created the heaven.\n";
    MakeTokenFiles(Folder(), text);
    ASSERT_TRUE(TokenizeFiles({.tokenizer = std::string(TL_SOURCE_DIR) +
                                            "/tests/fuzz/tokenizer_json/incomplete.json",
                               .texts = {At("text.txt")},
                               .out = At("other.tok")})
                    .ok());
    std::string foreign(1024 + 2000, 0);
    const int32_t header[] = {internal::kLlmCGpt2Magic, 1, 1000};
    std::memcpy(foreign.data(), header, sizeof(header));
    WriteFile(At("foreign.bin"), foreign);
    WriteFile(At("tiny.toml"), R"([model]
layers = 1
hidden = 64
heads = 2
ffn = 96
vocab = 256
[data]
train = ")" + At("train.tok") + R"("
[train]
steps = 2
sequence_length = 16
global_batch_size = 4
micro_batch_size = 1
[optimizer]
warmup_steps = 1
)");
    ExpectGood(RunAlone(Training("run", {"data.eval=" + At("eval.tok")})));
  }
};

const auto* const kFiles = testing::AddGlobalTestEnvironment(new Files);

const Strings kError = {"was made with another tokenizer than the model of ",
                        "[data] any_tokenizer = true"};

TEST(DataIdentity, MoreFilesThanMayBeOpen) {
  std::string paths;
  for (int i = 0; i < 150; ++i) {
    const std::string path = At("many" + std::to_string(i) + ".tok");
    fs::create_symlink(At("eval.tok"), path);
    paths += (i == 0 ? "" : ", ") + ("\"" + path + "\"");
  }
  const std::string line =
      ProgramLine(1, Training("many", {"data.train=[" + paths + "]", "data.eval=[" + paths + "]"}));
  ExpectGood(RunShell("ulimit -n 100; " + line, kSeconds));
}

TEST(DataIdentity, TheManifestKeepsWhatWasRead) {
  const Manifest m = ManifestOf("run");
  ASSERT_EQ(m.data.size(), 2);
  EXPECT_EQ(m.data[0].key, "data.train[0]");
  EXPECT_EQ(m.data[0].path, At("train.tok"));
  EXPECT_EQ(m.data[1].key, "data.eval[0]");
  const auto file = TokenFile::Open(At("train.tok"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(m.data[0].tokens, (*file)->token_count());
  EXPECT_EQ(m.tokenizer_hash, (*file)->tokenizer_hash());
  const Outcome told = RunAlone({"checkpoint", "inspect", At("run")});
  EXPECT_NE(told.output.find(absl::StrFormat("tokenizer: %016x", m.tokenizer_hash)),
            std::string::npos)
      << told.output;
  EXPECT_NE(told.output.find("data.train[0]: " + At("train.tok") + ": "), std::string::npos);
}

TEST(DataIdentity, WeightsOfAnotherTokenizer) {
  const Strings sets = {"run.init_from=" + At("run"), "data.train=" + At("other.tok")};
  Strings parts = kError;
  parts.push_back("data.train[0]: " + At("other.tok"));
  ExpectOneError(RunAlone(Training("from", sets)), parts);
  EXPECT_FALSE(fs::exists(At("from")));
  Strings meant = sets;
  meant.push_back("data.any_tokenizer=true");
  ExpectGood(RunAlone(Training("from", meant)));
  // From then on it is that of the data.
  const Manifest from = ManifestOf("from"), run = ManifestOf("run");
  const auto file = TokenFile::Open(At("other.tok"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(from.tokenizer_hash, (*file)->tokenizer_hash());
  EXPECT_NE(from.tokenizer_hash, run.tokenizer_hash);
  ASSERT_EQ(from.data.size(), 2);
  EXPECT_EQ(from.data[1].key, "run.init_from step_00000002");
  // What a run started from stays told after it went on.
  meant = {"data.train=" + At("other.tok"), "run.init_from=" + At("run"), "train.steps=3"};
  ExpectGood(RunAlone(Training("from", meant)));
  EXPECT_TRUE(ManifestOf("from", "step_00000003").data.back().SameContent(from.data[1]));
}

// An imported folder has its tokenizer beside its weights; a run's folder may have one too.
TEST(DataIdentity, WeightsBesideATokenizer) {
  fs::create_directories(At("imported"));
  WriteFile(At("imported/weights.safetensors"), "no weights, but that is found out later");
  ASSERT_TRUE(TrainSentencePiece({At("text.txt")}, 300, At("imported/tokenizer.model")).ok());
  for (const char* from : {"imported", "imported/weights.safetensors"}) {
    ExpectOneError(RunAlone(Training("beside", {"run.init_from=" + At(from)})), kError);
    // Foreign data do not tell.
    const Outcome outcome = RunAlone(
        Training("beside", {"run.init_from=" + At(from), "data.train=" + At("foreign.bin")}));
    EXPECT_EQ(outcome.output.find("tokenizer"), std::string::npos) << outcome.output;
    EXPECT_NE(outcome.output.find("weights.safetensors"), std::string::npos) << outcome.output;
  }
}

TEST(DataIdentity, GoingOnWithAnotherTokenizer) {
  ExpectOneError(RunAlone(Training("run", {"data.train=" + At("other.tok"), "train.steps=3"})),
                 kError);
}

TEST(DataIdentity, UsingTheModelWithAnotherTokenizer) {
  ExpectOneError(RunAlone({"calibrate", At("run"), "--data", At("other.tok")}), kError);
  // The run's own file has been replaced since.
  fs::copy(At("run"), At("replaced"), fs::copy_options::recursive);
  std::string config = ReadFile(At("run/config.toml"));
  for (size_t at; (at = config.find("train.tok")) != std::string::npos;)
    config.replace(at, 9, "other.tok");
  WriteFile(At("replaced/config.toml"), config);
  ExpectOneError(RunAlone({"eval", At("replaced"), "--data", At("other.tok")}), kError);
}

TEST(DataIdentity, OtherContentIsToldWhenARunGoesOn) {
  fs::copy_file(At("train.tok"), At("mine.tok"));
  fs::copy_file(At("eval.tok"), At("held.tok"));
  const Strings sets = {"data.train=" + At("mine.tok"), "data.eval=" + At("held.tok")};
  ExpectGood(RunAlone(Training("changing", sets)));
  const std::string before = Describe(ManifestOf("changing").data[0]);
  Strings more = sets;
  more.push_back("train.steps=3");
  const Outcome same = RunAlone(Training("changing", more));
  ExpectGood(same);
  EXPECT_EQ(same.output.find(": was "), std::string::npos) << same.output;
  fs::copy_file(At("train.tok"), At("held.tok"), fs::copy_options::overwrite_existing);
  fs::copy_file(At("eval.tok"), At("mine.tok"), fs::copy_options::overwrite_existing);
  more.back() = "train.steps=4";
  const Outcome other = RunAlone(Training("changing", more));
  ExpectGood(other);
  const std::string after = Describe(ManifestOf("changing", "step_00000004").data[0]);
  EXPECT_NE(other.output.find("data.train[0] " + At("mine.tok") + ": was " + before + ", is " +
                              after + ": text may be seen again"),
            std::string::npos)
      << other.output;
  EXPECT_NE(other.output.find("data.eval[0] " + At("held.tok") + ": was "), std::string::npos);
}

}  // namespace
}  // namespace tl
