// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/user_path.h"
#include "config/parse.h"
#include "objective/keys.h"

namespace tl {
namespace {

void ExpectContains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in:\n" << text;
}

TEST(Arguments, SetTakesSeveralValuesAndLeavesPathsAlone) {
  std::string path;
  Args overrides;
  Arguments arguments("train", "Trains.", "  trunkline train x.toml\n");
  arguments.Positional("CONFIG", &path, "The config").Overrides(&overrides);
  const Args args = {"--set", "a.b=1", "c.d=[\"x\", 2]", "x.toml", "--set", "e.f=g=h"};
  EXPECT_EQ(arguments.Parse(args).value(), Arguments::Outcome::kRun);
  EXPECT_EQ(path, "x.toml");
  EXPECT_EQ(overrides, (Args{"a.b=1", "c.d=[\"x\", 2]", "e.f=g=h"}));
}

TEST(Arguments, Paths) {
  const std::string before = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
  setenv("HOME", "/home/me", 1);
  std::string where, out, text;
  Args texts;
  const auto parse = [&](const Args& args) {
    where = out = text = "";
    texts.clear();
    Arguments arguments("tokenize", "Tokens.", "  example\n");
    arguments.PathPositional("WHERE", &where, "A folder")
        .PathPositional("TEXT", &texts, "Files")
        .PathOption("--out", &out, "A file")
        .Option("--text", &text, "No path");
    return std::string(arguments.Parse(args).status().message());
  };
  // A shell has replaced the first ~, but not that behind an equals sign.
  EXPECT_EQ(parse({"/home/me/x", "--out=~/y", "a", "~/b", "~c", "--text", "~/\n"}), "");
  EXPECT_EQ(where, "/home/me/x");
  EXPECT_EQ(out, "/home/me/y");
  EXPECT_EQ(texts, (Args{"a", "/home/me/b", "~c"}));
  EXPECT_EQ(text, "~/\n");
  // Names of files are bytes.
  EXPECT_EQ(parse({"m\xFCller", "a"}), "");
  EXPECT_EQ(where, "m\xFCller");
  ExpectContains(parse({"x", "a", "b\nc"}), "TEXT: expected a path without line ends");
  ExpectContains(parse({"x\x1B", "a"}), "WHERE: expected a path without line ends");
  ExpectContains(parse({"x", "a", "--out", "~you/b"}), "--out: expected a path, in which ~/");
  // And back: what it is on another host.
  EXPECT_EQ(WithTildeForHome("/home/me/x"), "~/x");
  EXPECT_EQ(WithTildeForHome("/home/me"), "~");
  for (const char* path : {"/home/men/x", "/home", "home/me/x", ""})
    EXPECT_EQ(WithTildeForHome(path), path);
  setenv("HOME", before.c_str(), 1);
}

TEST(Arguments, TextsHaveEscapesAsInC) {
  EXPECT_EQ(Unescaped("--stop", R"(a\n\t\x1e\\n)").value(), "a\n\t\x1e\\n");
  EXPECT_EQ(Unescaped("--stop", "<|end|> \xC3\xA9").value(), "<|end|> \xC3\xA9");
  const absl::Status status = Unescaped("--separator", R"(a\q)").status();
  ExpectContains(std::string(status.message()), R"(--separator a\q: expected a text with C's)");
}

TEST(Arguments, MistakesAreNamed) {
  const auto error = [](const Args& args) {
    std::string where, prompt;
    int64_t tokens = 5;
    double temperature = 0.5;
    Arguments arguments("generate", "Text.", "  example\n");
    arguments.Positional("WHERE", &where, "Run folder")
        .Option("--prompt", &prompt, "Text", Arguments::Need::kRequired)
        .Option("--max-tokens", &tokens, 1, "Tokens")
        .Option("--temperature", &temperature, 0.0, "Heat");
    const auto outcome = arguments.Parse(args);
    EXPECT_FALSE(outcome.ok());
    return std::string(outcome.status().message());
  };
  ExpectContains(error({}), "WHERE is required; see `trunkline generate --help`");
  ExpectContains(error({"x"}), "--prompt is required");
  ExpectContains(error({"x", "--prompt", "p", "--max-tokens", "0"}), "at least 1, found 0");
  ExpectContains(error({"x", "--prompt", "p", "--max-tokens", "1.5"}), "found 1.5");
  ExpectContains(error({"x", "--prompt", "p", "--temperature", "hot"}), "found hot");
  ExpectContains(error({"x", "--prompt", "p", "--bogus"}), "--bogus");
}

TEST(Arguments, HelpHasTheExample) {
  Arguments arguments("train", "Trains a model.", "  trunkline train x.toml\n");
  const Args args = {"--help"};
  EXPECT_EQ(arguments.Parse(args).value(), Arguments::Outcome::kHelp);
  ExpectContains(arguments.help(), "Example:\n  trunkline train x.toml");
}

TEST(Commands, HelpAtEveryLevel) {
  const auto world = MakeSelfCommunicator();
  for (const Command& command : Commands()) {
    ExpectContains(OverviewText(), command.name);
    testing::internal::CaptureStdout();
    const absl::Status status = RunCommand({"help", command.name}, *world);
    ExpectContains(testing::internal::GetCapturedStdout(), "Example:");
    EXPECT_TRUE(status.ok()) << command.name << ": " << status;
  }
  const std::string table = ConfigHelpText("").value();
  for (const ConfigKey& key : AllKeys().keys()) {
    ExpectContains(table, std::string("[") + key.section + "]");
    ExpectContains(table, std::string("  ") + key.name + " ");
  }
  ExpectContains(ConfigHelpText("optimizer.lr").value(), "peak learning rate");
  ExpectContains(std::string(ConfigHelpText("optimzer").status().message()), "optimizer");
  ExpectContains(std::string(ConfigHelpText("train.step").status().message()), "train.steps");
}

TEST(Commands, UnknownGivesTheNearest) {
  const auto world = MakeSelfCommunicator();
  ExpectContains(std::string(RunCommand({"trian"}, *world).message()), "did you mean train?");
  ExpectContains(std::string(RunCommand({"help", "benhc"}, *world).message()), "bench");
}

TEST(Commands, RunsFitOtherNumbersOfRanks) {
  std::string name = testing::TempDir() + "runXXXXXX";
  const std::string dir = mkdtemp(name.data());
  Config config = LoadConfig(AllKeys(), TL_SOURCE_DIR "/configs/tiny.toml").value();
  config.parallel.tensor = 2;
  config.run.dir = "elsewhere";
  std::ofstream(dir + "/config.toml") << WriteResolved(AllKeys(), config);
  const auto world = MakeSelfCommunicator();
  const absl::StatusOr<Config> fitted = LoadRunForInference(dir, {}, *world);
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  EXPECT_EQ(fitted->parallel.tensor, 1);
  EXPECT_EQ(fitted->train.global_batch_size, fitted->train.micro_batch_size);
  ExpectContains(std::string(LoadValidConfig(dir + "/config.toml", {}, *world).status().message()),
                 dir + "/config.toml: [parallel] tensor = 2");
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace tl
