// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/completion.h"

namespace tl {
namespace {

constexpr char kZshHead[] = R"sh(#compdef trunkline
# Completes trunkline's command line in zsh. Written by `trunkline completion zsh`: a file _trunkline
# in a folder of $fpath, or in ~/.zshrc after compinit:
#   source <(trunkline completion zsh)
compdef _trunkline trunkline
)sh";

constexpr char kZshTail[] = R"sh(
_trunkline_words_or_files() {
  _alternative "words:word:($*)" 'files:file:_files'
}

# After a setting another may follow, before and behind the command's own files.
_trunkline_path() {
  if [[ -n $PREFIX && $words[CURRENT-1] == *=* && $PREFIX != */* ]] && _trunkline_setting; then
    return 0
  fi
  _files
}

_trunkline() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C '(- *)'{-h,--help}'[What there is]' '(- *)--version[The version]' \
    '1:command:_trunkline_commands' '*::argument:->arguments'
  if [[ $state == arguments ]]; then
    _trunkline_arguments "$words[1]"
  fi
}

if [[ $funcstack[1] == _trunkline ]]; then
  _trunkline "$@"
fi
)sh";

// A text within '...'.
std::string ZshQuoted(const std::string& text) {
  return absl::StrReplaceAll(text, {{"'", "'\\''"}});
}

// A text within [] or between colons of a specification of _arguments.
std::string ZshEscaped(const std::string& text) {
  return ZshQuoted(absl::StrReplaceAll(
      text, {{"\\", "\\\\"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}, {"\n", " "}}));
}

// What completes an argument's value.
std::string ZshActionOf(const ArgumentOutline& argument) {
  const std::string words = absl::StrCat("(", absl::StrJoin(argument.words, " "), ")");
  switch (argument.value) {
    case ArgumentOutline::Value::kSetting:
      return "_trunkline_setting";
    case ArgumentOutline::Value::kPath:
      if (argument.words.empty()) return argument.is_option() ? "_files" : "_trunkline_path";
      // A blank in front: called with nothing but these.
      return absl::StrCat(" _trunkline_words_or_files ", absl::StrJoin(argument.words, " "));
    default:
      return argument.words.empty() ? " " : words;
  }
}

// A specification of _arguments. place: of the argument among those without a name; 0: all the rest.
std::string ZshSpecificationOf(const ArgumentOutline& argument, int place) {
  if (!argument.is_option())
    return absl::StrCat(place == 0 ? "*" : absl::StrCat(place), ":", ZshEscaped(argument.name), ":",
                        ZshActionOf(argument));
  const std::string name = absl::StrCat(argument.many ? "*" : "", argument.name,
                                        argument.value == ArgumentOutline::Value::kNone ? "" : "=",
                                        "[", ZshEscaped(argument.help), "]");
  if (argument.value == ArgumentOutline::Value::kNone) return name;
  return absl::StrCat(name, ":", argument.name.substr(2), ":", ZshActionOf(argument));
}

std::string ZshCaseOf(const CommandOutline& command) {
  bool settings = false;
  for (const ArgumentOutline& argument : command.arguments)
    settings |= argument.value == ArgumentOutline::Value::kSetting;
  std::string text = absl::StrCat("    '", command.name, "')\n      _arguments");
  int place = 0;
  for (const ArgumentOutline& argument : command.arguments) {
    const bool last = &argument == &command.arguments.back();
    if (!argument.is_option()) ++place;
    const bool rest = argument.many || (settings && last && !argument.is_option());
    absl::StrAppend(&text, " \\\n        '", ZshSpecificationOf(argument, rest ? 0 : place), "'");
  }
  return absl::StrCat(text, "\n      ;;\n");
}

// A command of commands: its first word is the command of another case.
std::string ZshCaseOfCommands(const CommandOutline& command,
                              const std::vector<CommandOutline>& commands) {
  std::string list;
  for (const CommandOutline& other : commands) {
    if (other.name.starts_with(command.name + " "))
      absl::StrAppend(
          &list, " '",
          ZshQuoted(absl::StrCat(other.name.substr(command.name.size() + 1), ":", other.help)),
          "'");
  }
  return absl::StrCat(
      "    '", command.name, "')\n      if ((CURRENT == 2)); then\n        local -a ", "inner=(",
      list, ")\n        _describe command inner\n      else\n",
      "        local name=\"$words[1] $words[2]\"\n        shift words\n",
      "        ((CURRENT--))\n        _trunkline_arguments \"$name\"\n      fi\n", "      ;;\n");
}

}  // namespace

std::string ZshCompletion(const std::vector<CommandOutline>& commands, const ConfigTable& keys) {
  std::string names, cases, key_names, choices;
  for (const CommandOutline& command : commands) {
    if (command.name.find(' ') == std::string::npos)
      absl::StrAppend(&names, "    '", ZshQuoted(absl::StrCat(command.name, ":", command.help)),
                      "'\n");
    cases += SubcommandsOf(command.name, commands).empty() ? ZshCaseOf(command)
                                                           : ZshCaseOfCommands(command, commands);
  }
  for (const ConfigKey& key : keys.keys()) {
    absl::StrAppend(&key_names, "      '", ZshQuoted(absl::StrCat(key.full_name(), ":", key.doc)),
                    "'\n");
    if (IsPath(key)) absl::StrAppend(&choices, "      ", key.full_name(), ") _files ;;\n");
    if (const std::vector<std::string> words = WordsOf(key); !words.empty())
      absl::StrAppend(&choices, "      ", key.full_name(), ") compadd -- ",
                      absl::StrJoin(words, " "), " ;;\n");
  }
  return absl::StrCat(
      kZshHead, "\n_trunkline_commands() {\n  local -a names=(\n", names,
      "  )\n  _describe command names\n}\n\n# A key of the config, then its value.\n"
      "_trunkline_setting() {\n  if compset -P '*='; then\n    case ${${IPREFIX##*--set=}%=} in\n",
      choices, "    esac\n  else\n    local -a keys=(\n", key_names,
      "    )\n    _describe -t keys 'key of the config' keys -S =\n  fi\n}\n\n"
      "# The arguments of the command $1, words beginning with its name.\n"
      "_trunkline_arguments() {\n  case $1 in\n",
      cases, "  esac\n}\n", kZshTail);
}

}  // namespace tl
