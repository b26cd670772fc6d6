#!/bin/bash
# What the pages for developers (docs/internals/) name is there: every path below src/, kernels/,
# tests/, docs/, configs/, launch/ or cmake/, with or without its extension; every file named alone
# in backticks (`trunk.h`); every class, function and member in backticks (`Plan`, `Plan::Slot`),
# somewhere in the code. Paths of README.md too. A name that is only an example's is called x
# (kernels/x.h), and its folder must be there.
# docs_test.sh PAGE checks one page. Without PAGE it also shows that it would notice what is missing.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

readonly kPath='(?<![\w/.~-])(src|kernels|tests|docs|configs|launch|cmake)/[\w./{},*-]*[\w}*]'

# Prints the missing paths of those named on stdin.
missing_paths() {
  local path one
  while read -r path; do
    [[ $path == *"{"*"}"* ]] && path=$(eval "echo $path")  # letters, dots, commas and braces alone
    for one in $path; do
      [[ ${one##*/} =~ ^(x|[a-z]+_x)([._]|$) ]] && one=${one%/*}
      compgen -G "$one" > /dev/null || compgen -G "$one.*" > /dev/null || echo "$one"
    done
  done
}

# Prints the missing ones of the names on stdin, `Class`, `Class::Member` or `file.h`.
missing_names() {
  local name class member
  while read -r name; do
    if [[ $name == *.* ]]; then
      [[ ${name%%.*} == x || $'\n'$files$'\n' == *$'\n'"$name"$'\n'* ]] || echo "$name"
      continue
    fi
    class=${name%%::*} member=${name##*::}
    grep -qxF -e "$class" <<< "$words" || { echo "$name"; continue; }
    [[ $member == "$class" ]] ||
      grep -rlwF --include='*.h' --include='*.cc' --include='*.cuh' -e "$class" src kernels |
        xargs -r grep -qwF -e "$member" || echo "$name"
  done
}

check() {
  local page=$1 found bad=0
  found=$(grep -oP "$kPath" "$page" | sort -u | missing_paths)
  if [[ ${page##*/} != README.md ]]; then
    found+=$'\n'$(grep -oP '`\K([A-Z]\w*[a-z]\w*(::\w+)*(?=(\(\))?`)|\w+\.(h|cc|cu|cuh|sh|py|md)(?=`))' \
      "$page" | sort -u | missing_names)
  fi
  while read -r name; do
    [[ -z $name ]] || { echo "$page names $name, which is not there"; bad=1; }
  done <<< "$found"
  return $bad
}

words=$(grep -rohE --include='*.h' --include='*.cc' --include='*.cu' --include='*.cuh' \
  '[A-Za-z_][A-Za-z0-9_]*' src kernels tests | sort -u)
files=$(find src kernels tests docs launch cmake configs -type f -printf '%f\n' | sort -u)
if (($# == 1)); then
  check "$1"
  exit
fi
bad=0
for page in README.md docs/internals/*.md; do check "$page" || bad=1; done
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
for name in src/nn/no_such.h src/nowhere/x.h '`NoSuchClass`' '`Plan::NoSuchMember`' '`no_such.h`'; do
  echo "See $name." > "$scratch"
  ! check "$scratch" > /dev/null || { echo "a missing $name was not noticed"; bad=1; }
done
echo 'See src/nn/plan.h, src/nn/plan, `Plan::Slot`, `plan.h`, kernels/x.{h,cc} and kernels/*.h.' > "$scratch"
check "$scratch" || bad=1
exit $bad
