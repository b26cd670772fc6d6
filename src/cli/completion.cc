// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/command.h"
#include "objective/keys.h"

namespace tl {
namespace {

struct Shell {
  const char* name;
  std::string (*script)(const std::vector<CommandOutline>& commands, const ConfigTable& keys);
};

constexpr Shell kShells[] = {{"bash", BashCompletion}, {"zsh", ZshCompletion}};

}  // namespace

std::vector<std::string> WordsOf(const ConfigKey& key) {
  if (key.type == ValueType::kBool) return {"true", "false"};
  return key.choices;
}

bool IsPath(const ConfigKey& key) {
  return key.type == ValueType::kPath || key.type == ValueType::kPaths;
}

std::vector<std::string> SubcommandsOf(const std::string& command,
                                       const std::vector<CommandOutline>& commands) {
  std::vector<std::string> names;
  const std::string prefix = command + " ";
  for (const CommandOutline& other : commands) {
    if (absl::StartsWith(other.name, prefix)) names.push_back(other.name.substr(prefix.size()));
  }
  return names;
}

absl::Status RunCompletion(const Args& args, Communicator& world) {
  std::string shell;
  std::vector<std::string> names;
  for (const Shell& known : kShells) names.emplace_back(known.name);
  Arguments arguments(
      "completion",
      "Prints a script that completes this program's command line in a shell: commands, options, "
      "and behind --set the keys of the config with their values.",
      "  source <(trunkline completion bash)                 a line for ~/.bashrc\n"
      "  source <(trunkline completion zsh)                  for ~/.zshrc, after compinit\n"
      "  trunkline completion zsh > ~/.zfunc/_trunkline      or a file in a folder of $fpath\n");
  arguments.Positional("SHELL", &shell, absl::StrJoin(names, " or ")).Words("SHELL", names);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  for (const Shell& known : kShells) {
    if (shell != known.name) continue;
    if (world.rank() == 0)
      std::fputs(known.script(OutlineOfCommands(world), AllKeys()).c_str(), stdout);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("SHELL ", shell, ": expected ", absl::StrJoin(names, " or ")));
}

}  // namespace tl
