#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# The checks of tests/gpu/run.sh that are more than one program, in the folder that it makes; it sets
# `root`, `trunkline` and `cores`. tests/gpu/checks.sh CHECK ARGUMENT...
set -euo pipefail

# mpi RANKS COMMAND...: the cores divided among the ranks.
mpi() {
  local ranks=$1
  shift
  OMP_NUM_THREADS=$((cores > ranks ? cores / ranks : 1)) mpirun -n "$ranks" "$@"
}

# train RUN RANKS SETTING...: as the reference was trained, but for the settings.
train() {
  local run=$1 ranks=$2 settings
  shift 2
  mapfile -t settings < settings
  settings+=(run.dir="runs/$run" "$@")
  mpi "$ranks" "$trunkline" train "$root/configs/quickstart.toml" "${settings[@]/#/--set=}"
}

losses() {  # RUN: "STEP LOSS" a row, "STEP" where it is not finite
  sed -n 's/.*"step": *\([0-9]*\).*"loss": *\([-0-9.e+]*\).*/\1 \2/p' "runs/$1/metrics.jsonl"
}

# compare RUN TOLERANCE [REFERENCE]: the largest relative difference of any step's loss, all of them
# finite. The run may be shorter.
compare() {
  local a b
  a=$(losses "${3:-cpu}")
  b=$(losses "$1")
  awk -v tolerance="$2" '
    NF == 1 { bad = 1 }
    NF != 2 { next }
    NR == FNR { loss[$1] = $2; next }
    !($1 in loss) { bad = 1; next }
    {
      d = ($2 - loss[$1]) / loss[$1]
      if (d < 0) d = -d
      if (!(d <= most)) most = d
      ++n
    }
    END {
      if (n > 0) print "value difference", most + 0, "of_the_loss"
      exit !(!bad && n > 1 && most <= tolerance)
    }' <(echo "$a") <(echo "$b")
}

# trained RUN RANKS TOLERANCE SETTING...: a run on GPUs has the reference's losses.
trained() {
  local run=$1 ranks=$2 tolerance=$3
  shift 3
  train "$run" "$ranks" run.device=cuda checkpoint.every=0 "$@"
  compare "$run" "$tolerance"
}

# twice: the same losses to the last digit.
twice() {
  for run in once again; do
    train $run 1 run.device=cuda run.deterministic=true checkpoint.every=0
  done
  compare again 0 once
}

setting() { sed -n "s/^$1=//p" settings; }  # of the reference
eval_loss() {  # RUN DEVICE
  "$trunkline" eval "runs/$1" --set run.device="$2" | sed -n 's/^eval_loss \([0-9.]*\).*/\1/p'
}
# near A B: losses of the same weights on two devices.
near() {
  echo "losses of the same weights: $1 and $2"
  awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(a > 0 && d * d < 1e-6 * a * a) }'
}

# cpu_to_gpu: the reference goes on on the GPU from half of its steps.
cpu_to_gpu() {
  mkdir runs/to_gpu
  cp -r runs/cpu/. runs/to_gpu
  near "$(eval_loss to_gpu cpu)" "$(eval_loss to_gpu cuda)"
  train to_gpu 1 run.device=cuda
  compare to_gpu 2e-3
}

# gpu_to_cpu: the last two steps of a run on the GPU are the CPU's.
gpu_to_cpu() {
  train to_cpu 1 run.device=cuda run.stop_after=$(($(setting train.steps) - 2))
  near "$(eval_loss to_cpu cpu)" "$(eval_loss to_cpu cuda)"
  train to_cpu 1 run.device=cpu
  compare to_cpu 2e-3
}

# bench CONFIG SETTING... [-- OPTION...]: `trunkline bench` on a GPU; it says tokens/s.
bench() {
  local config=$1 settings=()
  shift
  while (($# > 0)) && [[ $1 != -- ]]; do
    settings+=(--set "$1")
    shift
  done
  "$trunkline" bench "$config" --set run.device=cuda "${settings[@]}" "${@:2}" | tee bench.out
  grep -q '^tokens/s  *[1-9]' bench.out
}

# tool MARK TOOL... -- PROGRAM ARGUMENT...: a program under one of CUDA's tools, whose output has the
# mark where it saw the program's kernels. A bundle's programs are started by a launcher; where a
# tool does not follow it, the program is started by the bundle's loader itself.
tool() {
  local mark=$1 tool=() status=0
  shift
  while [[ $1 != -- ]]; do
    tool+=("$1")
    shift
  done
  shift
  "${tool[@]}" "$@" 2>&1 | tee tool.out || status=$?
  if grep -q ERR_NVGPUCTRPERM tool.out; then
    echo "the driver lets only root read performance counters"
    exit 77
  fi
  if ! saw_kernels "$mark" && [[ -d $root/libexec ]]; then
    echo "-- again, by the bundle's loader"
    status=0
    "${tool[@]}" "$root/lib/ld-linux-x86-64.so.2" --library-path "$root/lib:${LD_LIBRARY_PATH:-}" \
      "$root/libexec/$(basename "$1")" "${@:2}" 2>&1 | tee tool.out || status=$?
  fi
  if ! saw_kernels "$mark"; then
    echo "error: it has seen no kernel"
    exit 1
  fi
  exit "$status"
}
saw_kernels() {
  grep -q "$1" tool.out && ! grep -q 'No attachable process\|before first instrumented' tool.out
}

"$@"
