#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Learning with independent heads at equal parameters: bits per byte of the main head, hit rates and
# the accepted length for 1, 2 and 4 heads, without and with a forward curriculum, on the King James
# Bible and on a dictionary. Writes one line for each run to RESULTS, seed by seed, and prints their
# means over the seeds as the tables of docs/results/heads.md.
#   launch/setup.sh --experiments; tests/experiments/heads.sh [RESULTS]
# PROGRAM, TEXTS (of kjv and gcide), SEEDS, STEPS and RUNS (a scratch folder) may be set; runs that
# RESULTS has are not made again.
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

program=${PROGRAM:-build/trunkline}
texts=${TEXTS:-kjv gcide}
seeds=${SEEDS:-1 2 3}
steps=${STEPS:-300}
runs=${RUNS:-checkpoints/heads-experiment}
results=${1:-$runs/results.txt}
mkdir -p "$runs"
touch "$results"

# data/gcide.txt: the Collaborative International Dictionary of English of Debian's dict-gcide.
make_gcide_text() {
  local packed=/usr/share/dictd/gcide.dict.dz
  [[ -s $packed ]] || die "$packed is missing: install Debian's dict-gcide"
  mkdir -p data
  zcat "$packed" > data/gcide.part
  mv data/gcide.part data/gcide.txt
}

for text in $texts; do
  if [[ ! -s data/$text-train.tok || ! -s data/$text-eval.tok ]]; then
    "make_${text}_text"
    "$program" tokenize --tokenizer bytes --out "data/$text-train.tok" \
      --holdout 0.1 --holdout-out "data/$text-eval.tok" "data/$text.txt"
  fi
done

# The numbers of a key in the last evaluation of a run, one a line; empty where it is null.
numbers() { { grep -o "\"$2\":[-0-9.enul]*" <<< "$1" || true; } | sed 's/.*://; s/null//'; }

for seed in $seeds; do
  for setting in "1 none" "2 none" "4 none" "2 forward" "4 forward"; do
    read -r heads curriculum <<< "$setting"
    curriculum_steps=$((steps / 2))
    if [[ $curriculum == none ]]; then
      curriculum_steps=0
    fi
    for text in $texts; do
      name="$text $heads $curriculum $seed"
      if grep -q "^$name " "$results"; then
        continue
      fi
      dir=$runs/$text-$heads-$curriculum-$seed
      rm -rf "$dir"
      "$program" train configs/independent-heads.toml --set objective.heads="$heads" \
        --set objective.curriculum="$curriculum" \
        --set objective.curriculum_steps="$curriculum_steps" \
        --set data.train="data/$text-train.tok" --set data.eval="data/$text-eval.tok" \
        --set train.steps="$steps" --set train.global_batch_size=8 --set train.seed="$seed" \
        --set train.eval_every=0 --set train.eval_batches=24 --set run.log_every=1000 \
        --set run.threads=1 --set run.dir="$dir" > "$dir.log"
      line=$(grep eval_loss "$dir/metrics.jsonl" | tail -1)
      tau=$(numbers "$line" accepted_length)
      top1=$(numbers "$line" top1 | paste -sd, -)
      alpha=$(numbers "$line" alpha | paste -sd, -)
      echo "$name $(numbers "$line" bits_per_byte) ${tau:-1} ${top1} ${alpha:--}" >> "$results"
      rm -rf "$dir"
    done
  done
done

# Means over the seeds; lists by element, those of them that are there.
table() {
  awk -v text="$1" '
    function add(key, list,   n, v, i) {
      n = split(list, v, ",")
      for (i = 1; i <= n; ++i) {
        if (v[i] == "") continue
        sum[key, i] += v[i]
        ++count[key, i]
      }
      if (n > length_of[key]) length_of[key] = n
    }
    function mean(key,   i, out) {
      for (i = 1; i <= length_of[key]; ++i)
        out = out (i > 1 ? " " : "") (count[key, i] ? sprintf("%.3f", sum[key, i] / count[key, i]) : "-")
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
      print "\n" text "\n"
      print "| heads | curriculum | seeds | bits/byte ± std | top-1 of each head | acceptance | tau |"
      print "|---|---|---|---|---|---|---|"
      for (i = 1; i <= settings; ++i) {
        s = order[i]; n = runs[s]; m = bits[s] / n
        v = n > 1 ? (squares[s] - n * m * m) / (n - 1) : 0
        printf "| %s | %d | %.4f ± %.4f | %s | %s | %.3f |\n", s, n, m, sqrt(v > 0 ? v : 0),
          mean(s " top1"), mean(s " alpha"), tau[s] / n
      }
    }' "$results"
}
for text in $texts; do
  table "$text"
done
