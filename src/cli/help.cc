#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

absl::Status RunHelp(const Args& args, Communicator& world) {
  std::string text = OverviewText();
  if (!args.empty() && args[0] == "config") {
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
