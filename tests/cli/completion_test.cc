// SPDX-License-Identifier: Apache-2.0
// The scripts of `trunkline completion`, in the shells that they are for.
#include "cli/completion.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/command.h"
#include "infer/drafter.h"
#include "objective/keys.h"

namespace tl {
namespace {

using Words = std::vector<std::string>;

std::vector<CommandOutline> Outlines() {
  const auto world = MakeSelfCommunicator();
  return OutlineOfCommands(*world);
}

// Writes the script once; returns its path.
std::string FileWith(const std::string& script, const std::string& name) {
  const std::string path = testing::TempDir() + name + std::to_string(getpid());
  std::ofstream(path) << script;
  return path;
}

// What a command of the shell prints.
std::string OutputOf(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) text.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0) << command << "\n" << text;
  return text;
}

class Bash : public testing::Test {
 protected:
  static void SetUpTestSuite() { path_ = FileWith(BashCompletion(Outlines(), AllKeys()), "bash"); }
  static void TearDownTestSuite() { std::remove(path_.c_str()); }

  // What bash offers at the end of a line; breaks: where bash breaks words.
  static Words Offers(const std::string& line, const std::string& breaks = " \t=:") {
    const std::string script = absl::StrCat(
        "source ", path_, "; COMP_WORDBREAKS=$'", breaks, "'; COMP_LINE='", line,
        "'; COMP_POINT=${#COMP_LINE}; _trunkline; printf \"%s\\n\" \"${COMPREPLY[@]}\"");
    std::ofstream(path_ + ".run") << script;
    Words words = absl::StrSplit(OutputOf("bash --norc --noprofile " + path_ + ".run 2>&1"), '\n',
                                 absl::SkipEmpty());
    std::remove((path_ + ".run").c_str());
    return words;
  }

  static std::string path_;
};

std::string Bash::path_;

TEST_F(Bash, Commands) {
  Words all;
  for (const Command& command : Commands()) all.emplace_back(command.name);
  EXPECT_EQ(Offers("trunkline "), all);
  EXPECT_EQ(Offers("build/trunkline ex"), Words{"export"});
  EXPECT_EQ(Offers("trunkline checkpoint re"), Words{"reshard"});
  EXPECT_EQ(Offers("trunkline completion "), (Words{"bash", "zsh"}));
  EXPECT_EQ(Offers("trunkline help conf"), Words{"config"});
  EXPECT_EQ(Offers("trunkline help config train.sequence"), Words{"train.sequence_length"});
}

TEST_F(Bash, Options) {
  EXPECT_EQ(Offers("trunkline train --"), (Words{"--help", "--set"}));
  EXPECT_EQ(Offers("trunkline generate run --top"), (Words{"--top-k", "--top-p"}));
  EXPECT_EQ(Offers("trunkline checkpoint reshard x --te"), Words{"--tensor"});
  EXPECT_EQ(Offers("trunkline checkpoint list --te"), Words{});
}

TEST_F(Bash, Values) {
  Words drafters = DrafterKinds();
  drafters.emplace_back("auto");
  EXPECT_EQ(Offers("trunkline generate run --speculate "), drafters);
  EXPECT_EQ(Offers("trunkline generate --speculate=look"), Words{"lookup"});
  EXPECT_EQ(Offers("trunkline generate --speculate=look", " "), Words{"--speculate=lookup"});
  EXPECT_EQ(Offers("trunkline export run --dtype b"), Words{"bf16"});
  EXPECT_EQ(Offers("trunkline generate run --prompt "), Words{});
}

TEST_F(Bash, KeysOfTheConfig) {
  EXPECT_EQ(Offers("trunkline train x.toml --set tra"), Words{"train."});
  EXPECT_EQ(Offers("trunkline train x.toml --set train.st"), Words{"train.steps="});
  EXPECT_EQ(Offers("trunkline train --set=train.st"), Words{"train.steps="});
  EXPECT_EQ(Offers("trunkline train --set=train.st", " "), Words{"--set=train.steps="});
  // Several behind one --set, as the program takes them, and no longer behind another option.
  EXPECT_EQ(Offers("trunkline train --set run.dir=/x train.steps=1 optimizer.lr"),
            Words{"optimizer.lr="});
  EXPECT_EQ(Offers("trunkline eval run --set run.dir=/x --batches 2 train.st"), Words{});
  // Bash leaves in place what stands before the last =.
  EXPECT_EQ(Offers("trunkline train --set precision.compute=b"), Words{"bf16"});
  EXPECT_EQ(Offers("trunkline train --set precision.compute=b", " "),
            Words{"precision.compute=bf16"});
  EXPECT_EQ(Offers("trunkline train --set parallel.sequence="), (Words{"true", "false"}));
  for (const ConfigKey& key : AllKeys().keys()) {
    if (key.choices.empty()) continue;
    EXPECT_EQ(Offers(absl::StrCat("trunkline train --set ", key.full_name(), "=")), key.choices);
  }
}

TEST_F(Bash, LeavesFilesToTheShell) {
  const std::string ask =
      absl::StrCat("bash --norc --noprofile -c 'source ", path_, "; complete -p trunkline'");
  EXPECT_EQ(OutputOf(ask), "complete -o bashdefault -o default -F _trunkline trunkline\n");
}

// Every option that a command's help tells, and no other.
TEST(Outline, IsWhatHelpTells) {
  const auto world = MakeSelfCommunicator();
  int seen = 0;
  for (const CommandOutline& outline : OutlineOfCommands(*world)) {
    if (outline.name == "help" || outline.name == "checkpoint") continue;
    Args args = absl::StrSplit(outline.name, ' ');
    args.emplace_back("--help");
    testing::internal::CaptureStdout();
    EXPECT_TRUE(RunCommand(args, *world).ok());
    const std::string help = testing::internal::GetCapturedStdout();
    for (const ArgumentOutline& argument : outline.arguments) {
      const std::string at = argument.is_option() ? argument.name : "\n  " + argument.name;
      EXPECT_NE(help.find(at), std::string::npos) << outline.name << " " << at << "\n" << help;
      ++seen;
    }
    size_t options = 0, told = 0;
    for (const ArgumentOutline& argument : outline.arguments) options += argument.is_option();
    for (const auto& line : absl::StrSplit(help, '\n'))
      told += absl::StartsWith(line, "  --") || absl::StartsWith(line, "  -h,--");
    EXPECT_EQ(options, told) << outline.name << "\n" << help;
  }
  EXPECT_GT(seen, 50);
}

// What zsh makes of a line on a terminal, where there is a zsh.
TEST(Zsh, CompletesOnATerminal) {
  if (std::system("command -v zsh > /dev/null") != 0) GTEST_SKIP() << "no zsh";
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"trunkline expo", "trunkline export "},
      {"trunkline checkpoint resh", "trunkline checkpoint reshard "},
      {"trunkline checkpoint reshard x --ten", "trunkline checkpoint reshard x --tensor="},
      {"trunkline generate run --speculate look", "trunkline generate run --speculate lookup "},
      {"trunkline tokenize --tokenizer by", "trunkline tokenize --tokenizer bytes "},
      {"trunkline train --set train.ste", "trunkline train --set train.steps="},
      {"trunkline train --set precision.compute=b",
       "trunkline train --set precision.compute=bf16 "},
      {"trunkline train --set run.dir=/x optimizer.warm",
       "trunkline train --set run.dir=/x optimizer.warmup_steps="},
      {"trunkline help config train.sequ", "trunkline help config train.sequence_length "},
  };
  const std::string path = FileWith(ZshCompletion(Outlines(), AllKeys()), "zsh");
  std::string command = absl::StrCat("zsh -f " TL_SOURCE_DIR "/tests/cli/complete.zsh ", path);
  std::string expected;
  for (const auto& [line, completed] : lines) {
    absl::StrAppend(&command, " '", line, "'");
    absl::StrAppend(&expected, completed, "|\n");
  }
  EXPECT_EQ(OutputOf(command + " 2>&1"), expected);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace tl
