#!/bin/bash
# Learning with independent heads at equal parameters: bits per byte of the main head, hit rates and
# the accepted length for 1, 2 and 4 heads, without and with a forward curriculum. Writes one line
# for each run to RESULTS and prints their means over the seeds as the rows of docs/heads.md.
#   tests/experiments/heads.sh [RESULTS]
# PROGRAM, TEXT (a name in data/: $TEXT-train.tok and $TEXT-eval.tok), SEEDS, STEPS and RUNS (a
# scratch folder) may be set; runs that RESULTS has are not made again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

program=${PROGRAM:-build/trunkline}
text=${TEXT:-kjv}
seeds=${SEEDS:-1 2 3}
steps=${STEPS:-250}
runs=${RUNS:-checkpoints/heads-experiment}
results=${1:-$runs/results.txt}
mkdir -p "$runs"
touch "$results"

# The number of a key in the last evaluation of a run.
number() { { grep -o "\"$2\":[-0-9.e]*" <<< "$1" || true; } | sed 's/.*://'; }

for seed in $seeds; do
  for setting in "1 none" "2 none" "4 none" "2 forward" "4 forward"; do
    read -r heads curriculum <<< "$setting"
    name="$text $heads $curriculum $seed"
    if grep -q "^$name " "$results"; then
      continue
    fi
    curriculum_steps=$((steps / 2))
    if [[ $curriculum == none ]]; then
      curriculum_steps=0
    fi
    dir=$runs/$text-$heads-$curriculum-$seed
    rm -rf "$dir"
    "$program" train configs/independent-heads.toml --set objective.heads="$heads" \
      --set objective.curriculum="$curriculum" \
      --set objective.curriculum_steps="$curriculum_steps" \
      --set model.hidden=96 --set model.heads=3 --set model.ffn=256 \
      --set data.train="data/$text-train.tok" --set data.eval="data/$text-eval.tok" \
      --set train.steps="$steps" --set train.global_batch_size=8 --set train.seed="$seed" \
      --set train.eval_every=0 --set train.eval_batches=24 --set run.log_every=1000 \
      --set run.dir="$dir" > "$dir.log"
    line=$(grep eval_loss "$dir/metrics.jsonl" | tail -1)
    tau=$(number "$line" accepted_length)
    top1=$(number "$line" top1 | paste -sd, -)
    alpha=$(number "$line" alpha | paste -sd, -)
    echo "$name $(number "$line" bits_per_byte) ${tau:-1} ${top1} ${alpha:--}" >> "$results"
    rm -rf "$dir"
  done
done

# Means over the seeds; lists by element.
awk -v text="$text" '
  function add(key, list,   n, v, i) {
    n = split(list, v, ",")
    for (i = 1; i <= n; ++i) sum[key, i] += v[i]
    length_of[key] = n
  }
  function mean(key, count,   i, out) {
    for (i = 1; i <= length_of[key]; ++i)
      out = out (i > 1 ? " " : "") sprintf("%.3f", sum[key, i] / count)
    return out
  }
  $1 == text {
    setting = $2 " | " $3
    if (!(setting in runs)) order[++settings] = setting
    runs[setting]++
    bits[setting] += $5; squares[setting] += $5 * $5; tau[setting] += $6
    add(setting " top1", $7)
    if ($8 != "-") add(setting " alpha", $8)
  }
  END {
    print "| heads | curriculum | seeds | bits/byte ± std | top-1 of each head | acceptance | tau |"
    print "|---|---|---|---|---|---|---|"
    for (i = 1; i <= settings; ++i) {
      s = order[i]; n = runs[s]; m = bits[s] / n
      v = n > 1 ? (squares[s] - n * m * m) / (n - 1) : 0
      printf "| %s | %d | %.4f ± %.4f | %s | %s | %.3f |\n", s, n, m, sqrt(v > 0 ? v : 0),
        mean(s " top1", n), mean(s " alpha", n), tau[s] / n
    }
  }' "$results"
