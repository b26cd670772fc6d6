// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "cli/command.h"
#include "config/suggest.h"
#include "objective/keys.h"

namespace tl {
namespace {

std::string KeyText(const ConfigKey& key) {
  const std::string value = key.required ? "(required)" : ValueText(key, Config());
  const bool plain =
      key.type == ValueType::kPaths || key.type == ValueType::kText || key.type == ValueType::kPath;
  const std::string type = plain ? "" : absl::StrCat(" (", key.type_text(), ")");
  return absl::StrFormat("  %-19s %-13s %s%s\n", key.name, value, key.doc, type);
}

// A cell of a table in Markdown.
std::string MarkdownCell(const std::string& text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}});
}

std::string MarkdownRow(const ConfigKey& key) {
  const std::string value =
      key.required ? "required" : absl::StrCat("`", ValueText(key, Config()), "`");
  return absl::StrCat("| `", key.name, "` | ", MarkdownCell(value), " | ",
                      MarkdownCell(key.type_text()), " | ", MarkdownCell(key.doc), " |\n");
}

}  // namespace

std::string OverviewText() {
  std::string text =
      "trunkline trains language models on the ranks of mpirun or srun, and alone.\n\n"
      "Usage: trunkline COMMAND ...\n\n";
  for (const Command& command : Commands()) {
    absl::StrAppendFormat(&text, "  %-10s %s\n", command.name, command.help);
  }
  absl::StrAppend(
      &text,
      "\nExample:\n"
      "  trunkline tokenize --out data/train.tok book.txt\n"
      "  mpirun -n 2 trunkline train configs/quickstart.toml --set data.train=data/train.tok "
      "run.dir=/tmp/run\n"
      "  trunkline generate /tmp/run --prompt 'Once'\n\n"
      "`trunkline COMMAND --help` tells more, `trunkline help config` lists the config's keys.\n");
  return text;
}

absl::StatusOr<std::string> ConfigHelpText(const std::string& topic) {
  std::string text;
  std::string section;
  for (const ConfigKey& key : AllKeys().keys()) {
    if (!topic.empty() && topic != key.section && topic != key.full_name()) continue;
    if (section != key.section) {
      section = key.section;
      absl::StrAppend(&text, text.empty() ? "" : "\n", "[", section, "]  ",
                      *AllKeys().SectionDoc(section), "\n");
    }
    text += KeyText(key);
  }
  if (!text.empty()) return text;
  const size_t dot = topic.rfind('.');
  const std::string nearest =
      dot == std::string::npos ? NearestSection(AllKeys(), topic)
                               : NearestKey(AllKeys(), topic.substr(0, dot), topic.substr(dot + 1));
  return absl::InvalidArgumentError(
      absl::StrCat("no section or key ", topic, "; did you mean ", nearest, "?"));
}

std::string ConfigMarkdown() {
  std::string text =
      "# The config\n\n"
      "Written by `trunkline help config --markdown`; a test compares it.\n\n"
      "Keys stand in TOML files under their section. On the command line: `--set "
      "SECTION.KEY=VALUE ...`. A run folder keeps the config with every key, as `config.toml`.\n";
  std::string section;
  for (const ConfigKey& key : AllKeys().keys()) {
    if (section != key.section) {
      section = key.section;
      std::string about = *AllKeys().SectionDoc(section);
      about[0] = absl::ascii_toupper(static_cast<unsigned char>(about[0]));
      absl::StrAppend(&text, "\n## [", section, "]\n\n", about,
                      ".\n\n| key | default | value | what |\n|---|---|---|---|\n");
    }
    text += MarkdownRow(key);
  }
  return text;
}

absl::Status RunHelp(const Args& args, Communicator& world) {
  std::string text = OverviewText();
  if (args == Args{"config", "--markdown"}) {
    text = ConfigMarkdown();
  } else if (!args.empty() && args[0] == "config") {
    TL_ASSIGN_OR_RETURN(text, ConfigHelpText(args.size() > 1 ? args[1] : ""));
    if (args.size() < 2) {
      absl::StrAppend(
          &text,
          "\nKeys stand in TOML files under their [section]. On the command line: --set "
          "section.key=value ...\nExample: trunkline train configs/tiny.toml --set "
          "optimizer.lr=1e-3 precision.compute=bf16\n");
    }
  } else if (!args.empty() && args[0] != "help") {
    return RunCommand({args[0], "--help"}, world);
  }
  if (world.rank() == 0) std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace tl
