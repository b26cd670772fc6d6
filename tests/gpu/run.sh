#!/bin/bash
# Every check on a GPU, without network and without installing anything: from a bundle
# (launch/bundle.sh) or from a tree built with launch/build.sh --tests.
#   tests/gpu/run.sh [RESULTS]     RESULTS: a folder for logs, ./gpu-results by default
# Prints a line per check: passed, FAILED or skipped and why; fails if one failed. What needs a GPU is
# skipped where there is none, with the count at the end.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
results=$(mkdir -p "${1:-gpu-results}" && cd "${1:-gpu-results}" && pwd)
cd "$results" || exit 1

if [[ -d $root/libexec ]]; then
  bin=$root/bin tests=$root/bin
  export PATH=$root/bin:$PATH
else
  bin=${TRUNKLINE_BUILD:-$root/build}
  tests=$bin/tests
fi
configs=$root/configs
trunkline=$bin/trunkline
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} OMP_WAIT_POLICY=passive HWLOC_HIDE_ERRORS=2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none

passed=0 failed=0 skipped=0
say() { printf '%-9s %s\n' "$1" "$2" | tee -a summary.txt; }
skip() {
  skipped=$((skipped + 1))
  say skipped "$1: $2"
}
# check NAME COMMAND...: its output goes to NAME.log.
check() {
  local name=$1 start=$SECONDS
  shift
  if "$@" > "$name.log" 2>&1; then
    passed=$((passed + 1))
    say passed "$name ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    say FAILED "$name: $results/$name.log"
    tail -n 5 "$name.log" | sed 's/^/    /'
  fi
}
# gpu NAME COMMAND...: the same, where there is a GPU.
gpu() {
  if [[ -n $absent ]]; then
    skip "$1" "$absent"
  else
    check "$@"
  fi
}

: > summary.txt
{
  date
  uname -a
  nvidia-smi
  "$trunkline" info
} > machine.log 2>&1
"$trunkline" info | sed -n '/^devices/,/^precisions/p;/^libraries/,$p'
absent=$("$trunkline" info | sed -n 's/^  cuda  *none: //p')
# A build without CUDA says so in the same line.

say ---- "kernels and streams"
gpu kernels env TL_TEST_DEVICE=cuda "$tests/gpu_tests"
for tool in memcheck racecheck initcheck; do
  if [[ -z $absent ]] && ! command -v compute-sanitizer > /dev/null; then
    skip "sanitizer_$tool" "no compute-sanitizer"
  else
    gpu "sanitizer_$tool" env TL_TEST_DEVICE=cuda compute-sanitizer --tool "$tool" \
      --target-processes all --error-exitcode 9 "$tests/gpu_tests"
  fi
done

say ---- "collectives"
collectives=$tests/mpi_device_collectives_test
gpu nccl_1_rank mpirun -n 1 "$collectives" --gtest_filter='*Nccl*'
gpu staged_2_ranks mpirun -n 2 "$collectives" --gtest_filter='*Staged*'
gpu staged_4_ranks mpirun -n 4 "$collectives" --gtest_filter='*Staged*'
gpus=$("$trunkline" info | grep -c '^  cuda:')
if ((gpus > 1)); then
  gpu nccl_all_gpus mpirun -n "$gpus" "$collectives" --gtest_filter='*Nccl*'
else
  skip nccl_all_gpus "$gpus GPU(s)"
fi

say ---- "training"
# A language with something to learn, made by rule.
make_text() {
  awk 'BEGIN {
    srand(1)
    split("king queen river stone garden night word ship", noun, " ")
    split("sees finds keeps loses hears builds", verb, " ")
    for (i = 0; i < 12000; ++i) {
      a = noun[int(rand() * 8) + 1]; b = noun[int(rand() * 8) + 1]; v = verb[int(rand() * 6) + 1]
      printf "the %s %s the %s, and the %s is %s.\n", a, v, b, b, rand() < 0.5 ? "glad" : "gone"
    }
  }'
}
# The same files on every run of this script in this folder.
data() {
  [[ -s train.tok ]] && return
  make_text > text.txt
  "$trunkline" tokenize --tokenizer bytes --out train.tok --holdout 0.1 --holdout-out eval.tok \
    text.txt
}
check data data
quick=(--set data.train=train.tok --set data.eval=eval.tok --set train.steps=60
  --set checkpoint.every=30 --set train.eval_every=30)
train() {  # NAME RANKS SETTINGS...
  local name=$1 ranks=$2
  shift 2
  rm -rf "runs/$name"
  mpirun -n "$ranks" "$trunkline" train "$configs/quickstart.toml" "${quick[@]}" \
    --set run.dir="runs/$name" "$@"
}
losses() {
  sed -n 's/.*"step": *\([0-9]*\).*"loss": *\([-0-9.e+]*\).*/\1 \2/p' "runs/$1/metrics.jsonl"
}
# same_losses A B TOLERANCE: largest relative difference of all steps.
same_losses() {
  paste <(losses "$1") <(losses "$2") | awk -v tolerance="$3" '
    { d = $2 - $4; if (d < 0) d = -d; d /= $2; if (d > most) most = d; ++n }
    END { printf "%d steps, largest difference %.3g, allowed %s\n", n, most, tolerance
          exit !(n >= 60 && most <= tolerance) }'
}
eval_loss() { "$trunkline" eval "$@" | sed -n 's/^eval_loss \([0-9.]*\).*/\1/p'; }
cuda=(--set run.device=cuda)

gpu train_cpu train cpu 1 --set run.device=cpu  # what the GPU's are compared with
gpu train_gpu train gpu 1 "${cuda[@]}"
gpu loss_as_on_the_cpu same_losses cpu gpu 2e-3
gpu train_gpu_nccl train nccl 1 "${cuda[@]}" --set parallel.transport=nccl
gpu loss_over_nccl same_losses gpu nccl 1e-4
for grid in 2:1 2:2 4:1 4:2 4:4; do
  ranks=${grid%:*} tensor=${grid#*:}
  name=staged_${ranks}_tensor_$tensor
  gpu "train_$name" train "$name" "$ranks" "${cuda[@]}" --set parallel.transport=staged \
    --set parallel.tensor="$tensor" --set train.micro_batch_size=1
  gpu "loss_$name" same_losses gpu "$name" 2e-3
done
for precision in bf16 fp16; do
  gpu "train_$precision" train "$precision" 1 "${cuda[@]}" --set precision.compute="$precision"
  gpu "loss_$precision" same_losses gpu "$precision" 3e-2
done
# Bit for bit twice.
gpu train_again train again 1 "${cuda[@]}" --set run.deterministic=true
gpu the_same_twice same_losses gpu again 0

say ---- "weights between CPU and GPU"
same_eval() {  # RUN: its weights on both devices
  local cpu gpu
  cpu=$(eval_loss "runs/$1" --set run.device=cpu)
  gpu=$(eval_loss "runs/$1" --set run.device=cuda)
  echo "cpu $cpu, gpu $gpu"
  awk -v a="$cpu" -v b="$gpu" 'BEGIN { d = a - b; exit !(a > 0 && d * d < 1e-6 * a * a) }'
}
gpu weights_of_the_cpu same_eval cpu
gpu weights_of_the_gpu same_eval gpu
moved() {  # FROM TO: half a run on each; the losses are those of one that stayed
  rm -rf runs/moved
  mpirun -n 1 "$trunkline" train "$configs/quickstart.toml" "${quick[@]}" \
    --set run.dir=runs/moved --set run.device="$1" --set run.stop_after=30 &&
    mpirun -n 1 "$trunkline" train "$configs/quickstart.toml" "${quick[@]}" \
      --set run.dir=runs/moved --set run.device="$2" && same_losses cpu moved 2e-3
}
gpu from_cpu_to_gpu moved cpu cuda
gpu from_gpu_to_cpu moved cuda cpu

say ---- "speed"
# Sequences of 4096 in a micro-batch: what 80 GB hold.
declare -A batch=([124m]=8 [0.5b]=4 [1.5b]=2 [3b]=1)
for shape in 124m 0.5b 1.5b 3b; do
  for length in 1024 4096; do
    gpu "bench_${shape}_$length" "$trunkline" bench "$configs/bench-$shape.toml" --warmup 5 \
      --set precision.compute=bf16 --set train.sequence_length="$length" \
      --set train.micro_batch_size=$((batch[$shape] * 4096 / length)) \
      --set train.global_batch_size=$((65536 / length)) "${cuda[@]}"
  done
done
gpu bench_attention "$trunkline" bench "$configs/bench-124m.toml" --attention 1 --steps 1 \
  --set precision.compute=bf16 "${cuda[@]}"
if [[ -n $absent ]] || ! python3 -c 'import torch' 2> /dev/null; then
  skip torch "${absent:-no PyTorch here}"
else
  check torch python3 "$root/tests/gpu/torch_speed.py"
fi
grep -h '' bench_*.log torch.log 2> /dev/null

echo
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped" | tee -a summary.txt
((failed == 0))
