// SPDX-License-Identifier: Apache-2.0
// What a person sees on a terminal: bars, colours and lines that change, of which nothing stays; and
// that files, pipes and those who want none of it get plain lines.
#include <gtest/gtest.h>

#include <sstream>

#include "tests/program/terminal.h"
#include "tests/program/trained_runs.h"

namespace tl {
namespace {

bool HasControls(const std::string& text) {
  return text.find('\033') != std::string::npos || text.find("\r\r") != std::string::npos;
}

// As a terminal writes it.
std::string WithReturns(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? std::string("\r\n") : std::string(1, c);
  return out;
}

// The first words of the lines that stay: what was said, without figures. No step in short is among
// them.
Strings Words(const std::string& screen) {
  Strings words;
  std::istringstream lines(screen);
  for (std::string line; std::getline(lines, line);) {
    std::string word;
    std::istringstream(line) >> word;
    words.push_back(word);
    if (word == "step") {
      EXPECT_NE(line.find("  lr "), std::string::npos) << line;
    }
    EXPECT_EQ(line.find("[="), std::string::npos) << line;
    EXPECT_EQ(line.find("[>"), std::string::npos) << line;
  }
  return words;
}

Strings Sorted(const std::string& text) {
  Strings lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

bool IsOpenMpi4() {
  return RunShell("mpirun --version", 20).output.find("Open MPI) 4.") != std::string::npos;
}

Strings TrainArguments(const std::string& name) {
  return {"train",
          At("config.toml"),
          "--set",
          "run.dir=" + At(name),
          "train.steps=12",
          "train.micro_batch_size=4",
          "run.log_every=1000",
          "train.eval_every=6"};
}

class OneRun : public TrainedRuns {
 protected:
  void TrainAll() override {
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    unsetenv("COLORTERM");
    // Some hosts have Open MPI 5 complain of their interfaces, on the same screen.
    setenv("OMPI_MCA_btl", "^tcp", 1);
    Train("run", {});
  }
};
[[maybe_unused]] const auto* const g_run = testing::AddGlobalTestEnvironment(new OneRun);

Strings Tokenize(const std::string& out) { return {"tokenize", "--out", At(out), At("text.txt")}; }

TEST(Screen, ShowsABarAndLeavesWhatAPipeGets) {
  const std::string line = ProgramLine(1, Tokenize("a.tok"));
  const std::string plain = RunProgram(Tokenize("a.tok"));
  const Seen seen = RunOnTerminal(line);
  EXPECT_EQ(seen.exit_code(), 0);
  EXPECT_NE(seen.bytes.find("\rtokenize  [>"), std::string::npos) << seen.bytes;
  EXPECT_EQ(LeftOnScreen(seen.bytes), plain);
  // The bar is on stderr, whatever becomes of stdout.
  const Seen to_file = RunOnTerminal(line + " > " + At("out"));
  EXPECT_NE(to_file.bytes.find("\rtokenize  [>"), std::string::npos) << to_file.bytes;
  EXPECT_EQ(LeftOnScreen(to_file.bytes), "");
  EXPECT_EQ(ReadFile(At("out")), plain);
  EXPECT_EQ(RunOnTerminal(line + " 2> " + At("err")).bytes, WithReturns(plain));
  EXPECT_EQ(ReadFile(At("err")), "");
}

TEST(Screen, IsPlainForWhoWantsItSo) {
  const std::string line = ProgramLine(1, Tokenize("b.tok"));
  const std::string plain = WithReturns(RunProgram(Tokenize("b.tok")));
  for (const char* way : {"env NO_COLOR=1 ", "env TERM=dumb ", "env -u TERM "})
    EXPECT_EQ(RunOnTerminal(way + line).bytes, plain) << way;
}

TEST(Screen, CutsTheBarToTheWidth) {
  const Seen seen = RunOnTerminal(ProgramLine(1, Tokenize("c.tok")) + " > /dev/null", 12);
  EXPECT_EQ(seen.bytes.find("\rtokenize   \033[K"), 0u) << seen.bytes;
}

TEST(Screen, WaitsForNoTerminalThatIsStopped) {
  const std::string line =
      "sh -c " + Quote("sleep 0.2; " + ProgramLine(1, {"verify", At("run")}) + " > " + At("out"));
  const Seen seen = RunOnTerminal(line, 100, "", 0, "\x13");  // Ctrl-S
  EXPECT_EQ(seen.exit_code(), 0);
  EXPECT_EQ(seen.bytes.find("verify"), std::string::npos) << seen.bytes;
  EXPECT_EQ(Count(ReadFile(At("out")), ": good"), 1) << ReadFile(At("out"));
}

TEST(Screen, EveryLongCommandHasABar) {
  const std::string saved = At("run") + "/step_00000040";
  const std::vector<std::pair<Strings, Strings>> commands = {
      {{"eval", At("run")}, {"evaluate"}},
      {{"verify", At("train.tok"), At("run")}, {"verify"}},
      {{"checkpoint", "verify", At("run")}, {"verify"}},
      {{"checkpoint", "reshard", At("run"), "--out", At("two"), "--data", "2"}, {"reshard"}},
      {{"checkpoint", "diff", saved, At("two")}, {"compare"}},
      {{"export", At("run"), "--out", At("hf")}, {"write"}},
      {{"import", At("hf"), "--out", At("imported")}, {"write"}},
      {{"export", At("run"), "--format", "gguf", "--out", At("gguf")}, {"write"}},
      {{"calibrate", At("run"), "--tokens", "64"},
       {"measure acceptance", "measure passes", "try drafters"}},
      {{"tokenize", "--tokenizer", At("words.model"), "--train-vocab", "300", "--out",
        At("words.tok"), At("text.txt")},
       {"learn the vocabulary", "tokenize"}}};
  for (const auto& [arguments, bars] : commands) {
    const Seen seen = RunOnTerminal(ProgramLine(1, arguments));
    EXPECT_EQ(seen.exit_code(), 0) << arguments[0] << ": " << seen.bytes;
    for (const std::string& bar : bars)
      EXPECT_NE(seen.bytes.find("\r" + bar + "  "), std::string::npos) << bar << seen.bytes;
    Words(LeftOnScreen(seen.bytes));
  }
}

TEST(Screen, ErasesTheBarBeforeWhatIsFoundAndBeforeASignalEndsIt) {
  const Strings verify = {"checkpoint", "verify", At("damaged")};
  std::filesystem::copy(At("run"), At("damaged"), std::filesystem::copy_options::recursive);
  const std::string shard = At("damaged") + "/step_00000040/shard_0000.h5";
  std::string bytes = ReadFile(shard);
  for (size_t i = bytes.size() / 2; i < bytes.size() / 2 + 64; ++i) bytes[i] ^= 1;
  WriteFile(shard, bytes);
  const Outcome plain = RunShell(ProgramLine(1, verify), kSeconds);
  EXPECT_EQ(plain.exit_code, 3) << plain.output;
  const Seen seen = RunOnTerminal(ProgramLine(1, verify));
  EXPECT_NE(seen.bytes.find("\rverify  ["), std::string::npos) << seen.bytes;
  EXPECT_EQ(Sorted(LeftOnScreen(seen.bytes)), Sorted(plain.output));  // stdout waits in a pipe

  const Seen ended = RunOnTerminal(ProgramLine(1, {"calibrate", At("run")}), 100, "\rmeasure p");
  EXPECT_EQ(ended.exit_code(), 128 + SIGINT);
  EXPECT_EQ(LeftOnScreen(ended.bytes), "") << ended.bytes;
}

TEST(Screen, ShowsATrainingAsItGoes) {
  const std::string plain = RunProgram(TrainArguments("plain"));
  EXPECT_FALSE(HasControls(plain));
  const Seen seen = RunOnTerminal(ProgramLine(1, TrainArguments("seen")));
  EXPECT_EQ(seen.exit_code(), 0) << seen.bytes;
  EXPECT_NE(seen.bytes.find("\rstep "), std::string::npos) << seen.bytes;
  EXPECT_NE(seen.bytes.find("\033[2mstep\033[0m "), std::string::npos) << seen.bytes;
  EXPECT_NE(seen.bytes.find("\revaluate  ["), std::string::npos) << seen.bytes;
  EXPECT_EQ(Words(LeftOnScreen(seen.bytes)), Words(plain));

  const Seen to_file = RunOnTerminal(ProgramLine(1, TrainArguments("file")) + " > " + At("out"));
  EXPECT_EQ(LeftOnScreen(to_file.bytes), "");
  EXPECT_FALSE(HasControls(ReadFile(At("out"))));
  EXPECT_EQ(Words(ReadFile(At("out"))), Words(plain));
  EXPECT_FALSE(HasControls(
      RunOnTerminal("env NO_COLOR=1 " + ProgramLine(1, TrainArguments("no_colour"))).bytes));
}

TEST(Screen, LeavesNoLiveLineWhereATrainingIsStopped) {
  Strings arguments = TrainArguments("stopped");
  arguments.push_back("train.steps=100000");
  const Seen seen = RunOnTerminal(ProgramLine(1, arguments), 100, "\rstep ");
  EXPECT_EQ(seen.exit_code(), 128 + SIGINT) << seen.bytes;
  const std::string left = LeftOnScreen(seen.bytes);
  Words(left);
  EXPECT_NE(left.find("\nsaving after this step; once more ends at once\nwarning: stopped by"),
            std::string::npos)
      << left;
}

TEST(Screen, UnderALauncherTheLaunchersOwnOutputTells) {
  const std::string plain = RunProgram(TrainArguments("ranks_plain"), 2);
  const auto line = [](const std::string& name) { return ProgramLine(2, TrainArguments(name)); };
  const Seen seen = RunOnTerminal(line("ranks_seen"));
  EXPECT_EQ(seen.exit_code(), 0) << seen.bytes;
  EXPECT_EQ(Words(LeftOnScreen(seen.bytes)), Words(plain)) << seen.bytes;
  EXPECT_NE(seen.bytes.find("\033[2mstep\033[0m "), std::string::npos) << seen.bytes;
  // PRRTE passes on whole lines.
  EXPECT_EQ(seen.bytes.find("\rstep ") != std::string::npos, IsOpenMpi4()) << seen.bytes;

  const Seen to_file = RunOnTerminal(line("ranks_file") + " > " + At("out"));
  EXPECT_EQ(LeftOnScreen(to_file.bytes), "");
  EXPECT_FALSE(HasControls(ReadFile(At("out"))));
  EXPECT_EQ(Words(ReadFile(At("out"))), Words(plain));
}

// script(1), by another name, stands between as the launchers of Open MPI 5 and 4 do.
TEST(Screen, ALauncherOfWholeLinesGetsColoursAlone) {
  for (const char* name : {"prterun", "orterun"}) {
    const std::string launcher = At(name), run = std::string("by_") + name;
    std::filesystem::copy_file("/usr/bin/script", launcher);
    const std::string line =
        launcher + " -qec " + Quote(ProgramLine(1, TrainArguments(run))) + " /dev/null";
    const Seen seen = RunOnTerminal(line);
    EXPECT_NE(seen.bytes.find("\033[2mstep\033[0m "), std::string::npos) << seen.bytes;
    EXPECT_EQ(seen.bytes.find("\rstep ") != std::string::npos, std::string(name) == "orterun")
        << seen.bytes;
    std::filesystem::remove_all(At(run));
    RunOnTerminal(line + " > " + At("out") + " 2>&1");
    EXPECT_NE(ReadFile(At("out")).find("step "), std::string::npos);
    EXPECT_EQ(ReadFile(At("out")).find('\033'), std::string::npos) << ReadFile(At("out"));
  }
}

TEST(Screen, IsPlainWhereSomebodyStandsBetweenRankAndLauncher) {
  const std::string program = ProgramLine(1, TrainArguments("between"));
  const Seen piped =
      RunOnTerminal("mpirun --oversubscribe -n 1 sh -c " + Quote(program + " 2>&1 | cat"));
  EXPECT_FALSE(HasControls(piped.bytes)) << piped.bytes;
  EXPECT_NE(piped.bytes.find("step "), std::string::npos) << piped.bytes;
  const Seen tagged = RunOnTerminal("mpirun --oversubscribe --tag-output -n 1 " +
                                    ProgramLine(1, TrainArguments("tagged")));
  EXPECT_EQ(tagged.bytes.find('\033'), std::string::npos) << tagged.bytes;
  EXPECT_NE(tagged.bytes.find("step "), std::string::npos) << tagged.bytes;
}

}  // namespace
}  // namespace tl
