#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Layers include only from their left, siblings never each other:
#   base → device → {kernels, comm} → config → nn → {model, objective, optim, data} → engine → checkpoint
#        → {train, infer, convert} → report → cli
# layering_test.sh ROOT prints every include of ROOT that breaks this, and fails if there is one.
# Without ROOT it checks this project, after showing on made-up trees that it would notice.
set -euo pipefail

layers=(
  "base" "device" "kernels comm" "config" "nn" "model objective optim data" "engine" "checkpoint"
  "train infer convert" "report" "cli"
)

check() (
  cd "$1"
  find src kernels -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' |
    sort | xargs -r grep -Hn '^ *# *include *"' |
    awk -v layers="$(IFS=,; echo "${layers[*]}")" '
      BEGIN {
        count = split(layers, row, ",")
        for (i = 1; i <= count; i++) {
          n = split(row[i], name, " ")
          for (j = 1; j <= n; j++) rank[name[j]] = i
        }
      }
      function complain(why) { print where ": " why ": " include; bad = 1 }
      {
        split($0, part, ":")
        where = part[1] ":" part[2]
        split(part[1], folder, "/")
        from = folder[1] == "src" ? folder[2] : "kernels"
        include = $0
        sub(/^[^"]*"/, "", include)
        sub(/".*/, "", include)
        depth = split(include, target, "/")
        to = target[1]
        if (!(from in rank)) { complain("folder " from " is in no layer"); next }
        if (depth == 1) { complain("an include names its folder"); next }
        if (!(to in rank)) {
          if ((system("test -d src/" to) == 0)) complain("folder " to " is in no layer")
          next  # a library
        }
        if (to != from && rank[to] >= rank[from]) complain(from " may not include " to)
        if (to == "kernels" && from != to && depth > 2) complain("one backend'"'"'s own header")
      }
      END { exit bad }'
)

if (($# == 1)); then
  check "$1"
  exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
expect() {  # verdict, file, include
  local tree
  tree=$(mktemp -d -p "$scratch")
  mkdir -p "$tree/src" "$tree/kernels" "$(dirname "$tree/$2")"
  printf '#pragma once\n#include "%s"\n' "$3" > "$tree/$2"
  local verdict=accepted
  check "$tree" > /dev/null || verdict=refused
  if [[ $verdict != "$1" ]]; then
    echo "negative control: $2 including $3 is $verdict"
    exit 1
  fi
}
expect accepted src/nn/x.cc kernels/norm.h
expect accepted src/nn/x.cc nn/layer.h
expect accepted src/cli/x.cc absl/status/status.h
expect accepted kernels/cpu/x.cc kernels/cpu/pool.h
expect accepted src/nn/x.h config/train.h
expect refused src/base/x.h device/device.h
expect refused src/config/x.h objective/objective.h
expect refused src/model/x.h optim/adamw.h
expect refused src/comm/x.cc kernels/norm.h
expect refused kernels/cpu/x.cc comm/mesh.h
expect refused kernels/cpu/x.cc nn/layer.h
expect refused src/nn/x.cc kernels/cpu/pool.h
expect refused src/nowhere/x.cc base/check.h
expect refused src/nn/x.cc layer.h

cd "$(dirname "${BASH_SOURCE[0]}")/.."
check .
