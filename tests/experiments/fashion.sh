#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Denoisers of Fashion-MNIST: trains configs/fashion.toml, fashion-smld.toml and fashion-vp.toml where
# checkpoints/ has no such run, evaluates them, draws samples by one sampler after the other, and
# measures how far they are from pictures that were held out (pictures.py, which needs numpy):
# docs/results/diffusion.md.
#   tests/experiments/fashion.sh [RESULTS]
# PROGRAM, PYTHON, RANKS and SAMPLES (a scratch folder) may be set. What RESULTS has is not made again.
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

program=${PROGRAM:-build/trunkline}
python=${PYTHON:-.venv/bin/python}
ranks=${RANKS:-2}
scratch=${SAMPLES:-checkpoints/fashion-samples}
results=${1:-$scratch/results.txt}
mkdir -p "$scratch"
touch "$results"

launch/fashion.sh
for name in fashion fashion-smld fashion-vp; do
  if [[ ! -d checkpoints/$name ]]; then
    launch_mpi "$ranks" "$program" train "configs/$name.toml"
  fi
  if ! grep -q "^$name bound" "$results"; then
    # The bound, the loss and its quarters by noise.
    launch_mpi "$ranks" "$program" eval "checkpoints/$name" | sed "s/^/$name bound /" >> "$results"
  fi
done

# row RUN SAMPLER COUNT OPTION...: one line of RESULTS, a row of the page's table.
row() {
  local run=$1 sampler=$2 count=$3
  shift 3
  local cells="| $run | $sampler${*:+, }$* | $count |"
  if grep -qF "$cells" "$results"; then
    return
  fi
  local name="$run $sampler $*" said measured passes
  local out=$scratch/${name//[ \/]/_}.npy
  said=$(launch_mpi "$ranks" "$program" sample "checkpoints/$run" --sampler "$sampler" \
    --count "$count" --out "$out" "$@" | grep ' samples by ')
  passes=$(sed -n 's/.* in \([0-9]*\) passes.*/\1/p' <<< "$said")
  measured=$($python tests/experiments/pictures.py --train data/fashion-train.idx \
    --train-labels data/fashion-train-labels.idx --eval data/fashion-eval.idx \
    --eval-labels data/fashion-eval-labels.idx --count "$count" "$out" | tee -a "$scratch/log.txt" |
    sed -n 's/.*distance \([0-9.]*\), agreement \([0-9.]*\), neighbour \(.*\)/\1 | \2 | \3/p')
  [[ $said != *"each twice"* ]] || passes="2 x $passes"
  printf '%s %s | %s |\n' "$cells" "${passes:-its own}" "$measured" | tee -a "$results"
}

row fashion heun 2000
row fashion heun 2000 --guidance 1.5
for steps in 5 9; do
  row fashion heun 2000 --steps "$steps"
done
for steps in 9 18 35; do
  row fashion dpm++ 2000 --steps "$steps"
  row fashion euler 2000 --steps "$steps"
done
row fashion rk45 500
row fashion-vp heun 2000
row fashion-vp rk45 500
row fashion-vp predictor-corrector 500 --steps 250
row fashion-vp euler-maruyama 500 --steps 500
row fashion-smld heun 2000
row fashion-smld langevin 500
if [[ ! -e $scratch/samples.png ]]; then
  launch_mpi "$ranks" "$program" sample checkpoints/fashion --count 100 --grid "$scratch/samples.png"
fi
launch_mpi "$ranks" "$program" eval checkpoints/fashion --likelihood 256 | tee "$scratch/likelihood.txt"
