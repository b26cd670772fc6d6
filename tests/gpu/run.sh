#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every check on a GPU, without network and without installing anything: from a bundle
# (launch/bundle.sh) or from a tree built with launch/build.sh --tests. What matters most comes first:
# does every kernel start and is it right, then speed, training, tools, the rest.
#   tests/gpu/run.sh [--budget SECONDS] [--out FOLDER] [--limit NAME=SECONDS]... [--simt]
#     --budget   for all of it, 560 by default; what there is no time for is skipped
#     --out      for summary.txt and results.tar.gz, all logs so far; ./gpu-results by default
#     --limit    another limit for a line
#     --simt     small shapes on the SIMT test machine (tests/simt) of a tree, in place of a GPU; the
#                limits are ten times as long
# Prints as they come "NAME ok SECONDS", "NAME FAILED WHY", "NAME skipped WHY" and the figures, as
# "NAME VALUE UNIT". Fails where a line FAILED. Without a GPU every line is skipped.
set -euo pipefail
export root trunkline cores
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
gpu=$root/tests/gpu
usage() {
  sed -n '/^[^#]/q;s/^#   *//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

budget=560 out=gpu-results simt=no
declare -A limits=()
while (($# > 0)); do
  case $1 in
    --budget) budget=${2:-} ;;
    --out) out=${2:-} ;;
    --limit)
      [[ ${2:-} =~ ^([^=]+)=([1-9][0-9]*)$ ]] || usage
      limits[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
      ;;
    --simt) simt=yes ;;
    *) usage ;;
  esac
  [[ $1 == --simt ]] || shift
  shift || usage
done
[[ $budget =~ ^[0-9]+$ && -n $out ]] || usage
patience=1
[[ $simt == no ]] || patience=10
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
logs=$work/logs
mkdir "$logs"
: > "$out/summary.txt"
# shellcheck source=tests/gpu/lines.sh
source "$gpu/lines.sh"
trap 'end_line; rm -rf "$work"' EXIT
trap 'end_line; archive; exit 143' HUP INT TERM
cd "$work"

# The programs.
build=${TRUNKLINE_BUILD:-$root/build}
if [[ $simt == yes ]]; then
  tests=$build/tests
  trunkline=$tests/simt_trunkline collectives=$tests/simt_mpi_device_collectives
  kernels=("$tests/simt_kernels_tests"
    --file={finish_gradients,dropout,head_metrics,rope}_test.cc)
  export TL_SIMT_DEVICES=1
elif [[ -d $root/libexec ]]; then
  export PATH=$root/bin:$PATH
  trunkline=$root/bin/trunkline collectives=$root/bin/mpi_device_collectives_test
  kernels=("$root/bin/gpu_tests")
else
  trunkline=$build/trunkline collectives=$build/tests/mpi_device_collectives_test
  kernels=("$build/tests/gpu_tests")
fi
cores=$(nproc)
export TL_TEST_DEVICE=cuda OMP_NUM_THREADS=$cores OMP_WAIT_POLICY=passive HWLOC_HIDE_ERRORS=2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
# The same for Open MPI 5.
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export PRTE_MCA_hwloc_default_binding_policy=none
# CUDA's libraries where pip has put them for this Python.
wheels=$(timeout -k 1 10 python3 -c '
import glob, site, sysconfig
places = {sysconfig.get_path("purelib"), site.getusersitepackages(), *site.getsitepackages()}
print(":".join(f for p in sorted(places) for f in glob.glob(p + "/nvidia/*/lib")))' \
  2> /dev/null) || wheels=
[[ -z $wheels ]] || export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$wheels

section machine
{
  date
  uname -a
  echo "LD_LIBRARY_PATH ${LD_LIBRARY_PATH:-}"
  timeout -k 1 20 nvidia-smi || echo "no nvidia-smi"
} > "$logs/machine.log" 2>&1
if ! timeout -k 5 60 "$trunkline" info > "$logs/info.log" 2>&1; then
  fail info "it does not start: $(tail -n 1 "$logs/info.log")"
  absent="trunkline info fails"
fi
sed -n '/^devices/,/^precisions/p;/^libraries/,$p' "$logs/info.log" | grep '^  ' || true
: "${absent:=$(sed -n 's/^  cuda  *none: //p' "$logs/info.log")}"
gpus=$(grep -c '^  cuda:' "$logs/info.log" || true)
memory=$(sed -n 's/^  cuda:0 .*, \([0-9]*\)[.0-9]* GiB$/\1/p' "$logs/info.log")

section kernels
# A process for each suite and type, those of attention and products first: a launch that fails ends
# its process. Twins are the CPU's alone.
suites() {  # "NAME FILTER" a row
  timeout -k 5 30 "${kernels[@]}" --gtest_list_tests | awk '
    $1 ~ /\.$/ { suite = substr($1, 1, length($1) - 1) }
    /^  / && suite !~ /Twin$/ && !/^  DISABLED_/ {
      name = suite
      sub(/.*\//, "", name)
      type = $1 ~ /\// ? $1 : ""
      sub(/.*\//, "", type)
      if (type == "Cpu" || seen[suite, type]++) next
      print (name == "AttentionOf" ? 0 : name == "Matmul" ? 1 : 2), "test_" name (type == "" ? "" : "_" type),
        suite ".*" (type == "" ? "" : "/" type)
    }' | sort -s -k 1,1 | cut -d ' ' -f 2-
}
if ! found=$(suites 2>&1) || [[ -z $found ]]; then
  name=tests_of_$(basename "${kernels[0]}")
  if [[ -n $absent ]]; then skip "$name" "$absent"; else fail "$name" "it lists none: $found"; fi
else
  while read -r name filter; do
    line "$name" 30 "${kernels[@]}" --gtest_filter="$filter"
  done <<< "$found"
fi

# bench NAME LIMIT SHAPE LENGTH [SETTING]... [-- OPTION...]: steps of 65536 tokens, in micro-batches
# for a GPU of 80 GB, or of 141 GB.
declare -A batch=([124m]=8 [0.5b]=4 [1.5b]=2 [3b]=1)
((${memory:-0} < 120)) || batch=([124m]=16 [0.5b]=16 [1.5b]=8 [3b]=4)
bench() {
  local name=$1 limit=$2 shape=$3 length=$4
  shift 4
  line "$name" "$limit" "$gpu/checks.sh" bench "$root/configs/bench-$shape.toml" \
    precision.compute=bf16 train.sequence_length="$length" \
    train.global_batch_size=$((65536 / length)) \
    train.micro_batch_size=$((batch[$shape] * 4096 / length)) "$@"
}
section speed
few=(-- --steps 5 --warmup 2)
if [[ $simt == yes ]]; then
  line bench 40 "$gpu/checks.sh" bench "$root/configs/bench-124m.toml" precision.compute=bf16 \
    model.{layers=1,hidden=64,heads=2,ffn=64,vocab=256} train.{sequence_length=16,global_batch_size=1} \
    train.micro_batch_size=1 -- --steps 1 --warmup 0
else
  bench bench_124m_1024 40 124m 1024 "${few[@]}"
  bench bench_1.5b_4096 60 1.5b 4096 "${few[@]}"
  bench bench_attention 40 124m 1024 train.global_batch_size=2 train.micro_batch_size=2 \
    -- --steps 1 --attention 1
  bench bench_1.5b_4096_chunk_192 60 1.5b 4096 train.loss_chunk=192 "${few[@]}"
fi

section training
# The CPU's losses come with a bundle, and elsewhere are made before the clock goes on.
if [[ -z $absent && -d $gpu/reference ]]; then
  cp -r "$gpu/reference/." .
elif [[ -z $absent ]] && ((SECONDS < deadline)); then
  begun=$SECONDS options=() status=0 limit=${limits[reference]:-$((300 * patience))}
  [[ $simt == no ]] || options=(--small)
  limited "$limit" "$logs/reference.log" "$gpu/reference.sh" . "${options[@]}" || status=$?
  if ((status == 124 || status == 137)); then
    fail reference "timed out after $limit s"
  elif ((status != 0)); then
    fail reference "$(tail -n 1 "$logs/reference.log")"
  fi
  deadline=$((deadline + SECONDS - begun))
fi
trained() {  # NAME LIMIT RANKS TOLERANCE SETTING...
  line "train_$1" "$2" "$gpu/checks.sh" trained "$1" "$3" "$4" precision.compute=fp32 "${@:5}"
}
trained fp32 30 1 2e-3
trained bf16 30 1 3e-2 precision.compute=bf16
line the_same_twice 40 "$gpu/checks.sh" twice

section tools
# find_tool NAME: its path. TRUNKLINE_TOOLS is the one folder to look in, where set.
find_tool() {
  local places=("$(command -v "$1" || true)" /usr/local/cuda*/bin/"$1" /opt/nvidia/*/*/"$1") place
  [[ -z ${TRUNKLINE_TOOLS:-} ]] || places=("$TRUNKLINE_TOOLS/$1")
  for place in "${places[@]}"; do
    [[ ! -x $place ]] || { echo "$place"; return; }
  done
}
under() {  # NAME LIMIT MARK TOOL OPTION... -- PROGRAM ARGUMENT...
  local name=$1 limit=$2 mark=$3 tool
  tool=$(find_tool "$4")
  if [[ -z $absent && $simt == yes && -z ${TRUNKLINE_TOOLS:-} ]]; then
    skip "$name" "not for the SIMT test machine"
  elif [[ -z $absent && -z $tool ]]; then
    skip "$name" "no $4"
  else
    line "$name" "$limit" "$gpu/checks.sh" tool "$mark" "$tool" "${@:5}"
  fi
}
# One step of one micro-batch. The launches after it belong to other measurements.
profiled=("$trunkline" bench "$root/configs/bench-124m.toml" --steps 1 --warmup 0
  --set run.device=cuda --set precision.compute=bf16 --set train.sequence_length=1024
  --set train.global_batch_size=16 --set train.micro_batch_size=16)
under ncu_step 60 gpu__time_duration ncu --target-processes all --clock-control none --csv --print-units base \
  --kernel-name-base function --metrics gpu__time_duration.sum --launch-count 800 -- \
  "${profiled[@]}"
under ncu_attention_backward 40 BackwardKernel ncu --target-processes all --clock-control none \
  --set full --kernel-name-base function --kernel-name regex:^BackwardKernel --launch-count 1 -- \
  "${profiled[@]}"
if [[ $simt == yes ]]; then
  skip torch "not for the SIMT test machine"
else
  line torch_attention 60 python3 "$gpu/torch_speed.py" --attention
  line torch_124m_1024 80 python3 "$gpu/torch_speed.py" --train 124m 1024 $((batch[124m] * 4))
fi

section collectives
line nccl_1_rank 30 "$gpu/checks.sh" mpi 1 "$collectives" --gtest_filter='*Nccl*'
line staged_2_ranks 30 "$gpu/checks.sh" mpi 2 "$collectives" --gtest_filter='*Staged*'
if [[ -z $absent ]] && ((gpus < 2)); then
  skip nccl_all_gpus "$gpus GPU"
else
  line nccl_all_gpus 30 "$gpu/checks.sh" mpi "$gpus" "$collectives" --gtest_filter='*Nccl*'
fi
trained nccl 30 1 2e-3 parallel.transport=nccl
grid() {  # RANKS TENSOR SETTING...: ranks that share what GPUs there are; a process each
  trained "grid_$(($1 / $2))x$2" 40 "$1" 2e-3 parallel.transport=staged parallel.tensor="$2" \
    train.micro_batch_size=1 "${@:3}"
}
grid 2 1 run.stop_after=10

section sanitizers
sanitize() {  # TOOL OPTION...: over the kernels with most to hide
  under "sanitizer_$1" 60 "ERROR SUMMARY\|RACECHECK SUMMARY" compute-sanitizer \
    --target-processes all --tool "$@" -- \
    "${kernels[0]}" --gtest_filter='*AttentionOf.HeadSizes*:*CrossEntropy.*:*Norm*'
}
sanitize memcheck --error-exitcode 9
sanitize racecheck --error-exitcode 9
sanitize initcheck  # padding that is read and not used is no failure

section "the rest"
trained fp16 30 1 1e-2 precision.compute=fp16
line cpu_to_gpu 30 "$gpu/checks.sh" cpu_to_gpu
line gpu_to_cpu 30 "$gpu/checks.sh" gpu_to_cpu
grid 2 2
if [[ $simt == no ]]; then
  bench bench_124m_4096 40 124m 4096 "${few[@]}"
  bench bench_1.5b_1024 60 1.5b 1024 "${few[@]}"
  for length in 1024 4096; do
    bench "bench_0.5b_$length" 60 0.5b "$length" "${few[@]}"
    bench "bench_3b_$length" 60 3b "$length" "${few[@]}"
  done
  line staged_4_ranks 30 "$gpu/checks.sh" mpi 4 "$collectives" --gtest_filter='*Staged*'
  for tensor in 1 2 4; do
    grid 4 "$tensor"
  done
  for shape in 0.5b 1.5b 3b; do
    line "torch_${shape}_4096" 100 python3 "$gpu/torch_speed.py" --train "$shape" 4096 "${batch[$shape]}"
  done
fi

tell "$passed ok, $failed FAILED, $skipped skipped in $SECONDS s"
archive
((failed == 0))
