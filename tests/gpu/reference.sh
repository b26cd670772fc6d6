#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Trains the quick start's model on the CPU for some steps, on a language made by rule: what
# tests/gpu/run.sh compares GPUs with.
#   tests/gpu/reference.sh FOLDER [--small]     --small: a model for the SIMT test machine
# FOLDER, which is made, then holds train.tok, eval.tok, settings (what the run had set, one a line)
# and runs/cpu: the losses of every step, and the checkpoint of half of them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
trunkline=${TRUNKLINE_BUILD:-$root/build}/trunkline
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}  # threads that spin stand still on a busy machine
[[ $# == 1 || ($# == 2 && $2 == --small) ]] || {
  sed -n '/^[^#]/q;s/^#   *//p' "${BASH_SOURCE[0]}"
  exit 2
}
mkdir -p "$1"
cd "$1"

# A small rate from the start: steps that are too large multiply the difference between two devices.
settings=(data.train=train.tok data.eval=eval.tok optimizer.lr=1e-3 optimizer.min_lr=1e-4)
if [[ ${2:-} == --small ]]; then
  lines=300
  settings+=(train.steps=4 train.eval_every=2 checkpoint.every=2 optimizer.warmup_steps=2
    train.eval_batches=2 train.sequence_length=16 train.global_batch_size=4
    train.micro_batch_size=2 model.layers=1 model.hidden=64 model.heads=2 model.ffn=64)
else
  lines=12000
  settings+=(train.steps=20 train.eval_every=10 checkpoint.every=10 optimizer.warmup_steps=5
    train.eval_batches=2)
fi
printf '%s\n' "${settings[@]}" > settings

awk -v lines=$lines 'BEGIN {
  srand(1)
  split("king queen river stone garden night word ship", noun, " ")
  split("sees finds keeps loses hears builds", verb, " ")
  for (i = 0; i < lines; ++i) {
    a = noun[int(rand() * 8) + 1]; b = noun[int(rand() * 8) + 1]; v = verb[int(rand() * 6) + 1]
    printf "the %s %s the %s, and the %s is %s.\n", a, v, b, b, rand() < 0.5 ? "glad" : "gone"
  }
}' > text.txt
"$trunkline" tokenize --tokenizer bytes --out train.tok --holdout 0.1 --holdout-out eval.tok text.txt
rm text.txt
"$trunkline" train "$root/configs/quickstart.toml" "${settings[@]/#/--set=}" --set run.dir=runs/cpu \
  --set run.device=cpu
# The last checkpoint is of no use.
cd runs/cpu
last=$(< LATEST)
rm -r "$last"
basename "$(echo step_*)" > LATEST
