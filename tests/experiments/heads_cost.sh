#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What heads cost: the time of a step and the memory of a training with several heads against those
# with one, beside the ratio of their FLOPs and the memory that was planned. Makes the tables of
# docs/results/heads.md.
#   tests/experiments/heads_cost.sh
# PROGRAM, ROUNDS (the kinds take turns; the fastest of their medians counts) and STEPS of a round
# may be set.
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

program=${PROGRAM:-build/trunkline}
rounds=${ROUNDS:-3}
steps=${STEPS:-3}

# One pass of the fused loss over the vocabulary of GPT-2, and a byte model with small products.
wide=(configs/independent-heads.toml --set model.layers=4 --set model.hidden=256
  --set model.ffn=704 --set model.vocab=50304 --set train.sequence_length=1024
  --set train.global_batch_size=1 --set train.micro_batch_size=1)
bytes=(configs/independent-heads.toml --set train.global_batch_size=8)
independent=(--set objective.match_parameters=false --set objective.curriculum=none
  --set objective.curriculum_steps=0)
other=("${independent[@]}" --set objective.heads=0)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# measure NAME ARGUMENTS...: a round's output, kept if its step is the fastest so far.
measure() {
  local name=$1
  shift
  "$program" bench "$@" --steps "$steps" --warmup 1 > "$work/now"
  step_of() { awk '$1 == "step" { print $2 }' "$1"; }
  if [[ ! -e $work/$name ]] ||
    awk -v a="$(step_of "$work/now")" -v b="$(step_of "$work/$name")" 'BEGIN { exit !(a < b) }'; then
    mv "$work/now" "$work/$name"
  fi
}

# report TITLE FIRST OTHERS...: against the first.
report() {
  local title=$1 name
  shift
  printf '\n%s\n\n' "$title"
  echo "| objective | step | FLOPs | time over the first's | FLOPs over the first's | overhead | planned activations and loss | planned in all | resident at most | beyond weights, gradients and optimizer state |"
  echo "|---|---|---|---|---|---|---|---|---|---|"
  for name in "$@"; do
    awk -v name="$name" -v first="$work/first" '
      function mib(number, unit) { return number * (unit ~ /^G/ ? 1024 : unit ~ /^K/ ? 1 / 1024 : 1) }
      $1 == "step" { ms = $2 }
      $1 == "matrix" { flops = $(NF - 3) }
      $1 == "memory" { planned = mib($2, $3); resident = mib($5, $6) }
      $1 == "weights" || $1 == "gradients" || $1 == "master" { state += mib($(NF - 1), $NF) }
      $1 == "activations" { activations = mib($(NF - 1), $NF) }
      END {
        if ((getline line < first) > 0) { split(line, f, " ") } else { f[1] = ms; f[2] = flops; print ms, flops > first }
        printf "| %s | %.1f ms | %.2f G | %.3f | %.3f | %+.1f %% | %.0f MiB | %.0f MiB | %.0f MiB | %.0f MiB |\n",
          name, ms, flops, ms / f[1], flops / f[2], 100 * ((ms / f[1]) / (flops / f[2]) - 1),
          activations, planned, resident, resident - state
      }' "$work/$name"
  done
  rm -f "$work/first"
}

for ((round = 0; round < rounds; ++round)); do
  for heads in 1 2 4; do
    measure "wide-$heads" "${wide[@]}" "${independent[@]}" --set objective.heads="$heads"
    measure "bytes-$heads" "${bytes[@]}" "${independent[@]}" --set objective.heads="$heads"
  done
  measure next_token "${bytes[@]}" "${other[@]}" --set objective.name=next_token
  measure mtp-2 "${bytes[@]}" "${other[@]}" --set objective.name=sequential_mtp \
    --set objective.depth=2
  measure medusa-3 "${bytes[@]}" "${other[@]}" --set objective.name=medusa --set objective.heads=3
done
report "Independent heads, 4 blocks of 256, vocabulary 50304, T = 1024" wide-1 wide-2 wide-4
report "Independent heads, 6 blocks of 128 on bytes, T = 256" bytes-1 bytes-2 bytes-4
report "Other heads, the same byte model" next_token mtp-2 medusa-3
