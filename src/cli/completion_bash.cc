// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/completion.h"

namespace tl {
namespace {

// What stands before the tables and behind them. Bash breaks words at = too, so the line is broken
// at blanks here, and what bash leaves in place before a = is taken off what is offered.
constexpr char kBashHead[] =
    R"sh(# Completes trunkline's command line in bash. Written by `trunkline completion bash`; in ~/.bashrc:
#   source <(trunkline completion bash)
)sh";

constexpr char kBashTail[] = R"sh(
# Offers keys of the config, section by section, or the values of one, for the word $1.
_trunkline_setting() {
  local key=${1%%=*} words='' kind=text list=() name
  if [[ $1 == *=* ]]; then
    _trunkline_key "$key"
    [[ $kind != path ]] || files=yes
    mapfile -t COMPREPLY < <(compgen -P "$key=" -W "$words" -- "${1#*=}")
  elif [[ $1 == *.* ]]; then
    mapfile -t COMPREPLY < <(compgen -S = -W "$_trunkline_keys" -- "$1")
  else
    for name in $_trunkline_keys; do list+=("${name%%.*}."); done
    mapfile -t COMPREPLY < <(compgen -W "${list[*]}" -- "$1" | sort -u)
  fi
}

_trunkline() {
  local line=${COMP_LINE:0:COMP_POINT} cur='' command='' option='' setting='' files=''
  local place=0 all=() word words='' options='' kind=''
  COMPREPLY=()
  read -ra all <<< "$line"
  if [[ $line != *[[:space:]] ]]; then
    cur=${all[-1]}
    unset 'all[-1]'
  fi
  for word in "${all[@]:1}"; do
    if [[ -n $option ]]; then
      [[ $option != --set ]] || setting=yes
      option=''
    elif [[ -z $command ]]; then
      command=$word
    elif [[ $word == -* ]]; then
      setting=''
      kind=''
      [[ $word == *=* ]] || _trunkline_value "$command $word"
      [[ -z $kind ]] || option=$word
    elif [[ -z $setting || $word != *=* ]]; then
      setting=''
      place=$((place + 1))
      options=''
      _trunkline_options "$command $word"
      if ((place == 1)) && [[ -n $options ]]; then
        command+=" $word"
        place=0
      fi
    fi
  done

  words='' options='' kind=''
  if [[ -z $command ]]; then
    words=$_trunkline_commands
  else
    if [[ -z $option && $cur == --*=* ]]; then
      option=${cur%%=*}
    fi
    if [[ -n $option ]]; then
      _trunkline_value "$command $option"
    elif [[ $cur == -* ]]; then
      _trunkline_options "$command"
      words=$options
    else
      _trunkline_value "$command $((place + 1))"
      [[ -n $kind ]] || _trunkline_value "$command *"
    fi
  fi
  [[ $kind != path ]] || files=yes
  if [[ $kind == setting && $cur == --* ]]; then
    _trunkline_setting "${cur#*=}"
    COMPREPLY=("${COMPREPLY[@]/#/$option=}")
  elif [[ $kind == setting ]]; then
    _trunkline_setting "$cur"
  elif [[ $cur == --*=* ]]; then
    mapfile -t COMPREPLY < <(compgen -P "$option=" -W "$words" -- "${cur#*=}")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    if [[ -n $setting && -n $cur ]] && ((${#COMPREPLY[@]} == 0)); then
      _trunkline_setting "$cur"
    fi
  fi
  # The shell's own completion of files is for paths alone.
  if [[ -z $files ]]; then
    compopt +o default +o bashdefault 2> /dev/null
  fi
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[.=] ]]; then
    compopt -o nospace 2> /dev/null
  fi
  if [[ $cur == *=* && $COMP_WORDBREAKS == *=* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*=}"}"}")
  fi
  return 0
}
complete -o default -o bashdefault -F _trunkline trunkline
)sh";

const char* BashKindOf(ArgumentOutline::Value value) {
  switch (value) {
    case ArgumentOutline::Value::kPath:
      return "path";
    case ArgumentOutline::Value::kSetting:
      return "setting";
    default:
      return "text";
  }
}

std::string BashCase(const std::string& pattern, const std::string& variable,
                     const std::vector<std::string>& words, const std::string& more = "") {
  return absl::StrCat("    '", pattern, "') ", variable, "='", absl::StrJoin(words, " "), "'", more,
                      " ;;\n");
}

}  // namespace

std::string BashCompletion(const std::vector<CommandOutline>& commands, const ConfigTable& keys) {
  std::string options, values, choices;
  std::vector<std::string> names, key_names;
  for (const CommandOutline& command : commands) {
    if (command.name.find(' ') == std::string::npos) names.push_back(command.name);
    std::vector<std::string> of_command;
    int place = 0;
    for (const ArgumentOutline& argument : command.arguments) {
      if (argument.is_option()) of_command.push_back(argument.name);
      if (argument.value == ArgumentOutline::Value::kNone) continue;
      const std::string which = argument.is_option() ? argument.name
                                : argument.many      ? "*"
                                                     : absl::StrCat(++place);
      values += BashCase(absl::StrCat(command.name, " ", which), "words", argument.words,
                         absl::StrCat(" kind=", BashKindOf(argument.value)));
    }
    options += BashCase(command.name, "options", of_command);
  }
  for (const ConfigKey& key : keys.keys()) {
    key_names.push_back(key.full_name());
    if (!WordsOf(key).empty()) choices += BashCase(key.full_name(), "words", WordsOf(key));
    if (IsPath(key)) absl::StrAppend(&choices, "    '", key.full_name(), "') kind=path ;;\n");
  }
  return absl::StrCat(
      kBashHead, "_trunkline_commands='", absl::StrJoin(names, " "), "'\n_trunkline_keys='",
      absl::StrJoin(key_names, " "),
      "'\n\n# Sets options: those of the command $1.\n_trunkline_options() {\n  case $1 in\n",
      options,
      "  esac\n}\n\n# Sets words and kind (path, setting or text): of the option or the place "
      "\"$1\".\n"
      "_trunkline_value() {\n  case $1 in\n",
      values,
      "  esac\n}\n\n# Sets words and kind: of the config's key $1.\n_trunkline_key() {\n  case $1 "
      "in\n",
      choices, "  esac\n}\n", kBashTail);
}

}  // namespace tl
