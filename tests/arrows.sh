#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tells which folder of src/ (and kernels/) includes which, how often, and how many lines of code
# each folder has: those that are neither empty nor comments alone. Fails where folders include each
# other in a circle.
# arrows.sh [ROOT...]: of this project, or of the trees given, side by side.
# arrows.sh --table [ROOT]: only what each folder includes, as docs/internals/architecture.md has it.
# arrows.sh --test: shows that it notices circles and counts right, then that the table in
#   architecture.md is that of the code.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

sources() {
  find src kernels -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' | sort
}

# Prints `from to` for each include of another folder of the tree ROOT.
arrows() (
  cd "$1"
  sources | xargs -r grep -H '^ *# *include *"' | awk '
    {
      split($0, part, ":"); split(part[1], path, "/")
      from = path[1] == "src" ? path[2] : "kernels"
      sub(/^[^"]*"/, ""); split($0, target, "/")
      to = target[1]
      if (to == from) next
      if (!(to in known)) known[to] = to == "kernels" || system("test -d src/" to) == 0
      if (known[to]) print from, to
    }'
)

# Prints `folder lines` of the tree ROOT, both backends of the kernels apart.
lines() (
  cd "$1"
  sources | xargs -r awk '
    FNR == 1 {
      n = split(FILENAME, path, "/")
      folder = path[1]
      for (i = 2; i < n; i++) folder = folder "/" path[i]
      sub(/^src\//, "", folder)
      block = 0
    }
    {
      sub(/^[ \t]+/, "")
      if (!block && /^\/\*/) block = 1
      if (block) { if (/\*\//) block = 0; next }
      if ($0 != "" && !/^\/\//) count[folder]++
    }
    END { for (folder in count) print folder, count[folder] }'
)

# Prints the folders of ROOT that include each other in a circle; fails where there are any.
no_circle() {
  local loops
  loops=$(arrows "$1" | sort -u | tsort 2>&1 > /dev/null) || true
  [[ -z $loops ]] || { echo "$1: folders include each other in a circle:" "$loops"; return 1; }
}

# Prints what each folder includes, folders that include least first.
table() {
  echo '| folder | includes |'
  echo '|---|---|'
  arrows "$1" | sort -u | awk '
    { to[$1] = to[$1] (to[$1] == "" ? "" : ", ") $2; n[$1]++ }
    END { for (from in to) print n[from] "\t| " from " | " to[from] " |" }' |
    sort -t "$(printf '\t')" -k1,1n -k2,2 | cut -f 2
}

# Prints COMMAND's last word per key for each tree, side by side: COMMAND TITLE ROOT...
side_by_side() {
  local command=$1 title=$2 root i=0
  shift 2
  echo "$title$(printf '\t%s' "$@")"
  for root; do
    "$command" "$root" | sed "s/^/$i /"
    i=$((i + 1))
  done | awk -v trees=$# '
    { key = $2; for (i = 3; i < NF; i++) key = key " -> " $i
      value[$1, key] = $NF; keys[key]; sum[$1] += $NF }
    END {
      for (key in keys) {
        line = key
        for (i = 0; i < trees; i++) line = line "\t" value[i, key] + 0
        print line | "sort"
      }
      close("sort")
      line = "sum"
      for (i = 0; i < trees; i++) line = line "\t" sum[i] + 0
      print line
    }'
}
counts() { arrows "$1" | sort | uniq -c | awk '{ print $2, $3, $1 }'; }

self_test() {
  local tree=$scratch/tree
  mkdir -p "$tree"/src/{low,mid,high} "$tree/kernels"
  printf '#pragma once\n\n// Words.\nint x;  // a number\n/* More\n   words. */\n' > "$tree/src/low/a.h"
  printf '#include "low/a.h"\n#include "absl/a.h"\n' > "$tree/src/mid/a.h"
  printf '#include "high/b.h"\n#include "mid/a.h"\n  #include "low/a.h"\n' > "$tree/src/high/a.cc"
  [[ $(arrows "$tree" | tr '\n' ';') == "high mid;high low;mid low;" ]] ||
    { echo "arrows of a made-up tree: $(arrows "$tree")"; return 1; }
  [[ $(lines "$tree" | sort | tr '\n' ';') == "high 3;low 2;mid 2;" ]] ||
    { echo "lines of a made-up tree: $(lines "$tree")"; return 1; }
  no_circle "$tree" || return 1
  echo '#include "high/a.h"' > "$tree/src/low/b.h"
  ! no_circle "$tree" > /dev/null || { echo "a circle was not noticed"; return 1; }

  local page=$here/docs/internals/architecture.md
  table "$here" > "$scratch/table"
  diff "$scratch/table" <(awk '/^\| folder \| includes \|/ { on = 1 } !/^\|/ { on = 0 } on' "$page") ||
    { echo "$page has another table than tests/arrows.sh --table prints"; return 1; }
  no_circle "$here"
}

case ${1-} in
  --table)
    table "${2:-$here}"
    ;;
  --test)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    self_test
    ;;
  *)
    (($# > 0)) || set -- "$here"
    side_by_side counts "arrow" "$@"
    echo
    side_by_side lines "lines" "$@"
    for root; do no_circle "$root"; done
    ;;
esac
