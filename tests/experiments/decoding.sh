#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What drafts win on a trained byte model: for each drafter that a run folder can have, at temperatures
# 0 and 1, tokens per pass (tau), acceptance by position, passes per token and tokens per second
# beside plain decoding in the same process; heads in a chain, in a fixed tree and in a calibrated one of
# as many nodes. Prints the tables of docs/results/decoding.md.
#   tests/experiments/decoding.sh RUN...
# PROGRAM, PROMPTS (how many, from the last tenth of TEXT), TOKENS (of each), DRAFT_MODEL (a run
# folder) and SET (of --set, e.g. precision.compute=bf16) may be set.
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

[[ $# -gt 0 ]] || die "usage: tests/experiments/decoding.sh RUN..."
program=${PROGRAM:-build/trunkline}
text=${TEXT:-data/kjv.txt}
tokens=${TOKENS:-128}
read -ra set <<< "${SET:-}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Starts of lines long enough, evenly from the part that no training saw.
tail -c "$(($(stat -c %s "$text") / 10))" "$text" |
  awk 'NR > 1 && length($0) >= 60 { print substr($0, 1, 48) }' > "$work/lines"
awk -v all="$(wc -l < "$work/lines")" -v want="${PROMPTS:-24}" \
  'int(NR * want / all) != int((NR - 1) * want / all)' "$work/lines" > "$work/prompts"

# generate RUN ARGUMENTS...: the text on stdout.
generate() {
  "$program" generate "$1" --prompts-from "$work/prompts" --max-tokens "$tokens" "${@:2}" \
    ${set[0]:+--set "${set[@]}"}
}

# row RUN NAME NODES TEMPERATURE ARGUMENTS...: a line of the table from the report.
row() {
  generate "$1" --report --temperature "$4" "${@:5}" 2> "$work/report" > /dev/null ||
    die "$(tail -3 "$work/report")"
  awk -v temperature="$4" -v name="$2" -v nodes="$3" '
    /tokens of .* forward passes/ { count = $1; passes = $7; speed = $(NF - 1) }
    /^drafts by/ { tau = $NF; verified = $0; sub(/.*verified by /, "", verified); sub(/;.*/, "", verified) }
    /^ *position/ { taken = taken (taken == "" ? "" : " ") $4 + 0 }
    /plain decoding .* tok\/s/ { plain = $(NF - 1) }
    /^speed-up/ { measured = $2; predicted = $4 }
    END {
      printf "| %s | %s | %s | %s | %.2f | %s | %.2f | %.0f | %.0f | %s | %s |\n", temperature, name,
        nodes, verified, tau, taken, 1 / tau, speed, plain, measured, predicted
    }' "$work/report"
}

for run in "$@"; do
  kind=$(sed -n '/^\[objective\]/,/^\[/s/^name *= *"\(.*\)"/\1/p' "$run/config.toml")
  number() { sed -n "/^\[objective\]/,/^\[/s/^$1 *= *\([0-9]*\).*/\1/p" "$run/config.toml"; }
  printf '\n%s (%s)\n\n' "$(basename "$run")" "${kind:-next_token}"
  echo "| T | drafts | nodes | verified by | tau | accepted, % given those before | passes per token | tok/s | plain tok/s | speed-up | predicted |"
  echo "|---|---|---|---|---|---|---|---|---|---|---|"
  if [[ $kind == medusa || $kind == independent_heads ]]; then
    chain=$(number heads)
    [[ $kind == medusa ]] || chain=$((chain - 1))
    case $chain in
      1) fixed=4 nodes=4 ;;
      2) fixed=2x2 nodes=6 ;;
      3) fixed=2x2x1 nodes=10 ;;
      *) fixed=2x1x1x1 nodes=8 ;;
    esac
    for n in "$chain" "$nodes" 0; do
      "$program" calibrate "$run" --nodes "$n" --out "$work/tree-$n.json" \
        ${set[0]:+--set "${set[@]}"} > "$work/calibrate-$n.log" || die "$(tail -3 "$work/calibrate-$n.log")"
    done
    best=$(sed -n 's/^best tree: \([0-9]*\) nodes.*/\1/p' "$work/calibrate-0.log")
  fi
  for temperature in 0 1; do
    row "$run" lookup 4 $temperature --speculate lookup
    row "$run" early-exit 4 $temperature --speculate early-exit
    if [[ -n ${DRAFT_MODEL:-} ]]; then
      row "$run" draft-model 4 $temperature --speculate draft-model --draft-model "$DRAFT_MODEL"
    fi
    if [[ $kind == sequential_mtp ]]; then
      for n in $(seq 1 "$(number depth)"); do
        row "$run" mtp "$n" $temperature --speculate mtp --drafts "$n"
      done
    elif [[ $kind == medusa || $kind == independent_heads ]]; then
      row "$run" "heads, chain" "$chain" $temperature --speculate heads --tree chain --drafts "$chain"
      row "$run" "heads, calibrated" "$chain" $temperature --speculate heads --tree "$work/tree-$chain.json"
      row "$run" "heads, $fixed" "$nodes" $temperature --speculate heads --tree $fixed
      row "$run" "heads, calibrated" "$nodes" $temperature --speculate heads --tree "$work/tree-$nodes.json"
      row "$run" "heads, best" "$best" $temperature --speculate heads --tree "$work/tree-0.json"
    fi
  done
done
