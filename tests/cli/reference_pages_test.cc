// SPDX-License-Identifier: Apache-2.0
// The pages of docs/reference/ that the program itself can tell are what it tells today.
// TRUNKLINE_WRITE_DOCS=1 writes them anew.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cli/command.h"
#include "config/key.h"
#include "objective/keys.h"

namespace tl {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void ExpectPage(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(TL_SOURCE_DIR "/docs/reference/", name);
  if (std::getenv("TRUNKLINE_WRITE_DOCS") != nullptr) std::ofstream(path) << text;
  EXPECT_EQ(Read(path), text)
      << path << " is not what the program tells; with TRUNKLINE_WRITE_DOCS=1 this test writes it";
}

std::string Printed(const Args& args) {
  const auto world = MakeSelfCommunicator();
  testing::internal::CaptureStdout();
  const absl::Status status = RunCommand(args, *world);
  std::string text = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(status.ok()) << status;
  return text;
}

// The commands of a command, which its help lists between "COMMAND ..." and an empty line.
std::vector<std::string> CommandsOf(const std::string& help) {
  std::vector<std::string> names;
  const size_t usage = help.find(" COMMAND ...\n\n");
  if (usage == std::string::npos) return names;
  for (const absl::string_view line :
       absl::StrSplit(help.substr(help.find("\n\n", usage) + 2), '\n')) {
    if (!absl::StartsWith(line, "  ")) break;
    names.emplace_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

std::string Section(const std::string& heading, const std::string& help) {
  const std::string end = absl::EndsWith(help, "\n") ? "" : "\n";
  std::string text = absl::StrCat("\n", heading, "\n\n```text\n", help, end, "```\n");
  while (absl::StrContains(text, "\n\n```\n")) text.erase(text.rfind("\n\n```\n"), 1);
  return text;
}

TEST(ReferencePages, Config) {
  const std::string page = Printed({"help", "config", "--markdown"});
  for (const ConfigKey& key : AllKeys().keys())
    EXPECT_TRUE(absl::StrContains(page, absl::StrCat("| `", key.name, "` |"))) << key.full_name();
  ExpectPage("config.md", page);
}

TEST(ReferencePages, Commands) {
  std::string page =
      "# Commands\n\n"
      "What `trunkline COMMAND --help` prints; `unit.cli.reference_pages` compares it. How a "
      "command "
      "can end is in\n[exit-codes.md](exit-codes.md), the keys of `--set` are in "
      "[config.md](config.md).\n";
  for (const Command& command : Commands()) {
    const std::string name = command.name;
    if (name == "help") continue;
    const std::string help = Printed({name, "--help"});
    absl::StrAppend(&page, Section("## " + name, help));
    for (const std::string& part : CommandsOf(help))
      absl::StrAppend(
          &page, Section(absl::StrCat("### ", name, " ", part), Printed({name, part, "--help"})));
  }
  EXPECT_TRUE(absl::StrContains(page, "\n### checkpoint verify\n"));
  ExpectPage("commands.md", page);
}

}  // namespace
}  // namespace tl
