#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An objective is named in its own files, NAME.h, NAME_settings.cc and so on, its line of the table, and the drafter and exporters that
# it has, and nowhere else in src/.
# objectives_test.sh ROOT prints every other mention in ROOT, and fails if there is one. Without ROOT
# it checks this project, after showing on a made-up tree that it would notice.
set -euo pipefail

table=src/objective/table.cc

check() (
  cd "$1"
  local bad=0 class name
  # From the table's lines: SequentialMtp::Descriptor(). The plain objective's name is that of a
  # head too.
  for class in $(sed -n 's/^ *\([A-Za-z0-9]*\)::Descriptor(),$/\1/p' "$table"); do
    [[ $class != NextToken ]] || continue
    name=$(sed 's/\([a-z]\)\([A-Z]\)/\1_\2/g' <<< "$class" | tr '[:upper:]' '[:lower:]')
    if [[ ! -f src/objective/$name.h || ! -f src/objective/$name.cc ]]; then
      echo "$table: $class: no file src/objective/$name.{h,cc}"
      bad=1
    fi
    # A longer word is another: a denoiser is no objective. An exporter includes its objective's
    # header; convert/export.{h,cc} is the table of formats.
    if grep -rnP "(?i:$name|${name//_/})(?![a-z])" src --include='*.h' --include='*.cc' --include='*.cu' |
      grep -vE "^(src/objective/$name(_[a-z]*)?\.(h|cc)|$table|src/convert/export(_[a-z]*)?\.(h|cc)):"; then
      bad=1
    fi
  done
  return $bad
)

if (($# == 1)); then
  check "$1"
  exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/src/objective" "$scratch/src/engine" "$scratch/src/convert"
printf '      NextToken::Descriptor(),\n      ManyHeads::Descriptor(),\n' > "$scratch/$table"
echo 'class ManyHeads {};' > "$scratch/src/objective/many_heads.h"
echo '"many_heads"' > "$scratch/src/objective/many_heads.cc"
echo 'WriteManyHeads' > "$scratch/src/convert/export_heads.cc"
check "$scratch" > /dev/null || { echo "control: a clean tree is refused"; exit 1; }
for mention in 'if (o.name == "many_heads")' 'ManyHeads heads;' '// many_heads: these'; do
  echo "$mention" > "$scratch/src/engine/cost.cc"
  if check "$scratch" > /dev/null; then
    echo "negative control: $mention is accepted"
    exit 1
  fi
done
echo > "$scratch/src/engine/cost.cc"
rm "$scratch/src/objective/many_heads.h"
if check "$scratch" > /dev/null; then
  echo "negative control: an objective without its file is accepted"
  exit 1
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ $(sed -n 's/::Descriptor(),$/&/p' "$table" | wc -l) -ge 4 ]] ||
  { echo "$table: expected a line for each objective"; exit 1; }
check .
