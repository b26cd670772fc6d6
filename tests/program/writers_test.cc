// SPDX-License-Identifier: Apache-2.0
// What the commands that write leave where they may not write, and when they are ended or meet the
// limit on a file's size: their inputs and what is not theirs as it was, outputs whole or not
// there.
#include <sys/stat.h>

#include "tests/data/temp_folder.h"
#include "tests/program/live_job.h"
#include "tests/program/token_files.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;
constexpr int kSeconds = 60;

std::string At(const std::string& name) { return Folder() + "/" + name; }

class Writers : public testing::Test {
 protected:
  // A run of two steps, and a Hugging Face folder made of it.
  static void SetUpTestSuite() {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 400; ++i)
      text += "In the beginning God created the heaven and the earth.\n";
    MakeTokenFiles(Folder(), text);
    WriteFile(At("config.toml"),
              "[model]\nlayers = 1\nhidden = 64\nheads = 2\nffn = 96\nvocab = 256\n"
              "[data]\ntrain = \"" +
                  At("train.tok") + "\"\neval = \"" + At("eval.tok") +
                  "\"\n[train]\nsteps = 2\nsequence_length = 16\nglobal_batch_size = 4\n"
                  "micro_batch_size = 2\n[objective]\nname = \"medusa\"\nheads = 1\n");
    ASSERT_EQ(Run(TrainInto("run")).exit_code, 0);
    const Outcome exported = Run(ExportTo(At("hf"), {"--trunk-only"}));
    ASSERT_EQ(exported.exit_code, 0) << exported.output;
    fs::copy(TL_SOURCE_DIR "/tests/data/golden/gpt2.json", At("hf/tokenizer.json"),
             fs::copy_options::skip_existing);
  }

  static Outcome Run(const Strings& arguments, int ranks = 1, const std::string& before = "") {
    return RunShell(before + ProgramLine(ranks, arguments), kSeconds);
  }
  static Strings TrainInto(const std::string& name, const Strings& settings = {}) {
    Strings arguments = {"train", At("config.toml"), "--set", "run.dir=" + At(name)};
    arguments.insert(arguments.end(), settings.begin(), settings.end());
    return arguments;
  }
  static Strings ExportTo(const std::string& out, const Strings& more) {
    Strings arguments = {"export", At("run"), "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static Strings ReshardTo(const std::string& out) {
    return {"checkpoint", "reshard", At("run"), "--out", out};
  }
  static Strings CalibrateTo(const std::string& out) {
    return {"calibrate", At("run"), "--tokens", "16", "--nodes", "1", "--out", out};
  }
  static Strings TokenizeTo(const std::string& out) {
    return {"tokenize", "--tokenizer", "bytes", "--out", out, At("text.txt")};
  }
  static Strings TrainPiecesTo(const std::string& model) {
    return {"tokenize", "--tokenizer", model,          "--train-vocab",
            "300",      "--out",       model + ".tok", At("text.txt")};
  }
};

TEST_F(Writers, RefuseWhatTheyMustNotReplace) {
  const std::string dir = At("there");
  fs::create_directories(dir + "/full/part");
  fs::create_directories(dir + "/empty");
  fs::create_directory_symlink(dir + "/empty", dir + "/link");
  WriteFile(dir + "/notes", "somebody's notes\n");
  ASSERT_EQ(mkfifo((dir + "/fifo").c_str(), 0600), 0);
  const auto before = Snapshot(Folder());
  for (const char* name : {"/full", "/link", "/notes", "/fifo"}) {
    for (const char* format : {"hf", "medusa", "gguf"})
      ExpectOneError(Run(ExportTo(dir + name, {"--format", format, "--trunk-only"})),
                     {dir + name + ": exists; expected the name of a new folder"});
    ExpectOneError(Run({"import", At("hf"), "--out", dir + name}),
                   {dir + name + ": exists; expected the name of a new folder"});
    ExpectOneError(Run(CalibrateTo(dir + name)),
                   {dir + name + ": expected a new name or that of a calibration to replace"});
  }
  for (const char* input : {"run/config.toml", "eval.tok"})
    ExpectOneError(Run(CalibrateTo(At(input))), {At(input) + ": expected a new name"});
  ExpectOneError(Run(ReshardTo(At("run"))), {At("run/step_00000002") + ": exists; expected"});
  EXPECT_EQ(Snapshot(Folder()), before);
}

TEST_F(Writers, TrainingReplacesOnlyItsOwn) {
  const struct {
    const char* name;
    const char* text;
    const char* error;
  } cases[] = {{"config.toml", "# tuned by hand\n[train]\nsteps = 2\n", ": somebody wrote it"},
               {"metrics.jsonl", "notes\n", ": expected a new name"},
               {"lock", "notes\n", ": expected a new name"}};
  for (const auto& c : cases) {
    const std::string dir = At("own"), path = dir + "/" + c.name;
    fs::create_directories(dir);
    WriteFile(path, c.text);
    ExpectOneError(Run(TrainInto("own")), {path, c.error});
    EXPECT_EQ(ReadFile(path), c.text);
    fs::remove(path);
    WriteFile(At("elsewhere"), "");
    fs::create_symlink(At("elsewhere"), path);
    ExpectOneError(Run(TrainInto("own")), {path, "a symbolic link"});
    fs::remove(path);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    ExpectOneError(Run(TrainInto("own")), {path, "not a regular file"});
    fs::remove_all(dir);
  }
  EXPECT_EQ(ReadFile(At("elsewhere")), "");
  // A config without comments that lies where the resolved one would, by whatever name the training
  // is started with it, or with another.
  const std::string mine = ReadFile(At("config.toml"));
  fs::create_directories(At("own"));
  fs::copy(At("config.toml"), At("own/config.toml"));
  fs::create_hard_link(At("own/config.toml"), At("linked.toml"));
  for (const char* name : {"own/config.toml", "own/../own/config.toml", "linked.toml"}) {
    Strings own = TrainInto("own");
    own[1] = At(name);
    ExpectOneError(Run(own, name[0] == 'l' ? 2 : 1),
                   {At("own/config.toml") + ": somebody wrote it"});
    EXPECT_EQ(ReadFile(At("own/config.toml")), mine);
  }
  ExpectOneError(Run(TrainInto("own")), {At("own/config.toml") + ": somebody wrote it"});
  fs::remove_all(At("own"));
  // What a training has written it goes on with, from that config too, also where the version that
  // wrote it had fewer keys.
  Strings again = TrainInto("run", {"train.steps=3"});
  again[1] = At("run/config.toml");
  std::string older = ReadFile(again[1]);
  const std::string key = "any_tokenizer = false\n";
  ASSERT_NE(older.find(key), std::string::npos) << older;
  older.erase(older.find(key), key.size());
  std::ofstream(again[1]) << older;
  const Outcome outcome = Run(again);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  fs::remove_all(At("run/step_00000003"));
}

// A command that is ended while it writes leaves nothing, and of one that is killed the next one
// removes what it left.
TEST_F(Writers, AnEndLeavesNothing) {
  const std::string out = At("ended");
  fs::create_directories(out);
  const std::string preload = "LD_PRELOAD=" TL_BINARY_DIR "/tests/libpreload.so TL_PRELOAD_RANK=0 ";
  const struct {
    Strings command;
    const char* act;
  } commands[] = {{ExportTo(out + "/x", {"--format", "hf", "--trunk-only"}), "hang_output"},
                  {{"import", At("hf"), "--out", out + "/x"}, "hang_output"},
                  {TokenizeTo(out + "/x"), "hang_output"},
                  {ReshardTo(out), "hang"}};
  const auto written = [&] {
    for (const auto& [path, bytes] : Snapshot(out)) {
      if (path.find(".tmp-") != std::string::npos) return true;
    }
    return false;
  };
  for (const auto& c : commands) {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGKILL}) {
      LiveJob job(1, c.command, At("ended.log"), preload + "TL_PRELOAD_ACT=" + c.act);
      ASSERT_TRUE(WaitUntil(kSeconds, [&] { return written() || job.ended(); }));
      ASSERT_TRUE(job.Signal(0, signal)) << job.Output();
      EXPECT_EQ(job.Wait(kSeconds), 128 + signal) << job.Output();
      EXPECT_EQ(written(), signal == SIGKILL) << c.command[0] << " " << signal;
    }
    const Outcome next = Run(c.command);
    EXPECT_EQ(next.exit_code, 0) << next.output;
    EXPECT_EQ(Count(next.output, "; deleting it"), 1) << next.output;
    EXPECT_FALSE(written());
    fs::remove_all(out);
    fs::create_directories(out);
  }
}

TEST_F(Writers, MeetTheLimitOnFiles) {
  const std::string out = At("limited");
  fs::create_directories(out);
  const Strings commands[] = {ExportTo(out + "/x", {"--format", "hf", "--trunk-only"}),
                              ExportTo(out + "/x", {"--format", "gguf", "--trunk-only"}),
                              ExportTo(out + "/x", {"--format", "medusa"}),
                              {"import", At("hf"), "--out", out + "/x"},
                              ReshardTo(out + "/x"),
                              TokenizeTo(out + "/x"),
                              TrainPiecesTo(out + "/x")};
  for (const Strings& command : commands) {
    const Outcome outcome = Run(command, 1, "ulimit -f 8; ");  // blocks of 512 bytes
    ExpectOneError(outcome, {out + "/x", "the limit on a file's size (ulimit -f) is 4096 bytes"});
    fs::remove(out + "/x/lock");
    fs::remove(out + "/x");  // of reshard
    EXPECT_TRUE(fs::is_empty(out)) << command[0] << "\n" << outcome.output;
  }
}

// The save fails as on a full disk, training goes on, and what else it writes is whole.
TEST_F(Writers, TrainingMeetsTheLimitOnFiles) {
  const Strings settings = {"train.steps=4", "checkpoint.every=1", "checkpoint.async=false",
                            "checkpoint.max_failed_saves=3"};
  for (const int ranks : {1, 2}) {
    fs::remove_all(At("short"));
    // Of the ranks alone: mpirun needs larger files.
    const std::string rank = "ulimit -f 256; exec " + ProgramLine(1, TrainInto("short", settings));
    const std::string mpirun = "mpirun --oversubscribe -n " + std::to_string(ranks) + " ";
    const Outcome outcome = RunShell((ranks > 1 ? mpirun : "") + "sh -c " + Quote(rank), kSeconds);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    for (const char* part : {"error: 3 saves in a row failed", "/step_00000003.tmp-",
                             "the limit on a file's size (ulimit -f) is 131072 bytes\n"})
      EXPECT_EQ(Count(outcome.output, part), 1) << part << "\n" << outcome.output;
    EXPECT_EQ(Count(outcome.output, "; training goes on"), 2) << outcome.output;
    EXPECT_EQ(Count(ReadFile(At("short/metrics.jsonl")), "\n"), 3);
    for (const auto& entry : fs::directory_iterator(At("short")))
      EXPECT_EQ(entry.path().filename().string().find("step_"), std::string::npos) << entry.path();
  }
}

}  // namespace
}  // namespace tl
