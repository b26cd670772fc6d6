#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/gpu/run.sh where there is no GPU: what it takes for equal losses; skipping every line by
# name; on the SIMT test machine, with lines that fail and lines that hang; at the end of its
# budget; and ended by a signal.
#   tests/program/gpu_script_test.sh BUILD
set -euo pipefail
build=$(cd "$1" && pwd)
script=$(cd "$(dirname "${BASH_SOURCE[0]}")/../gpu" && pwd)/run.sh
reason=$("$build/trunkline" info | sed -n 's/^  cuda  *none: //p')
if [[ -z $reason ]]; then
  echo "skipped: there is a GPU; run tests/gpu/run.sh"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "FAILED: $1"
  exit 1
}
# run EXIT_CODE OUT OPTION...: its summary is what it prints, and nothing of it is left.
run() {
  local want=$1 out=$work/$2 begun=$SECONDS status=0
  shift 2
  echo "== run.sh $*"
  env TRUNKLINE_BUILD="$fake" TRUNKLINE_TOOLS="$work/tools" TL_GPU_SCRIPT_TEST="$work" \
    "$script" --out "$out" "$@" > "$out.log" 2>&1 || status=$?
  took=$((SECONDS - begun))
  summary=$out/summary.txt
  cat "$out.log"
  [[ $status == "$want" ]] || fail "exit code $status, expected $want"
  if grep -lsz "^TL_GPU_SCRIPT_TEST=$work" /proc/[0-9]*/environ; then fail "processes are left"; fi
  tar -C "$out" -xzf "$out/results.tar.gz"
  diff "$summary" <(tar -xzOf "$out/results.tar.gz" summary.txt) || fail "the archive is old"
  [[ $(tail -n 1 "$summary") == "$(grep -c ' ok [0-9]* s$' "$summary") ok, $(
    grep -c '^[^ ]* FAILED ' "$summary") FAILED, $(grep -c '^[^ ]* skipped ' "$summary"
    ) skipped in "* ]] || fail "the counts are wrong"
}
says() {  # LINE: once
  [[ $(grep -cxE "$1" "$summary") == 1 ]] || fail "not once: $1"
}

# Losses, the reference's first.
losses() {  # RUN LOSS...: of its steps
  local run=$1 step=0 loss
  shift
  mkdir -p "$work/runs/$run"
  for loss; do
    step=$((step + 1))
    printf '{"step":%d,"tokens":8,"loss":%s,"losses":{"next_token":%s},"heads":{},"lr":0.1}\n' \
      "$step" "$loss" "$loss"
  done > "$work/runs/$run/metrics.jsonl"
}
compare() { (cd "$work" && "${script%/*}/checks.sh" compare "$@"); }
losses cpu 5.5 5.25 5 4.75
losses same 5.5 5.25 5 4.75
losses shorter 5.5 5.25
losses other 5.5 5.25 5.5 4.75
losses not_finite 5.5 5.25 null 4.75
losses longer 5.5 5.25 5 4.75 4.5
for run in same shorter; do
  compare $run 0 || fail "equal losses differ: $run"
done
compare other 0.11 || fail "a tenth is more than 0.11"
for run in other not_finite longer; do
  if compare $run 0.09; then fail "losses are equal: $run"; fi
done
if compare same 0.09 not_finite; then fail "the reference's losses are not finite"; fi

if "$script" --out "$work/refused" --limit bench=0 2> /dev/null; then fail "a limit of 0"; fi
[[ ! -e $work/refused ]] || fail "it ran with a limit of 0"

# No GPU. CUDA's libraries are looked for among Python's packages. Others' processes are left alone.
TL_GPU_LINE='' sleep 60 > /dev/null 2>&1 &
bystander=$!
fake=$build
export PYTHONUSERBASE=$work/python
packages=$(python3 -m site --user-site 2> /dev/null) || true
[[ -z $packages ]] || mkdir -p "$packages/nvidia/cu13/lib"
run 0 none
grep -q "^LD_LIBRARY_PATH .*${packages:+$packages/nvidia/cu13/lib}" "$work/none/logs/machine.log" ||
  fail "no libraries of Python's packages"
((took < 30)) || fail "it takes $took s to do nothing"
kill $bystander || fail "a process that was not its own is gone"
wait $bystander 2> /dev/null || true
for name in bench_{124m,0.5b,1.5b,3b}_{1024,4096} bench_1.5b_4096_chunk_192 bench_attention \
  train_{fp32,bf16,fp16,nccl} train_grid_{2x1,1x2,4x1,2x2,1x4} the_same_twice {cpu_to_gpu,gpu_to_cpu} \
  ncu_{step,attention_backward} sanitizer_{memcheck,racecheck,initcheck} nccl_{1_rank,all_gpus} \
  staged_{2,4}_ranks torch_{attention,124m_1024,{0.5b,1.5b,3b}_4096}; do
  says "$name skipped $reason"
done
if [[ -x $build/tests/gpu_tests ]]; then
  for name in test_AttentionOf_{fp32,bf16,fp16} test_Matmul test_OnDevice_Cuda; do
    says "$name skipped $reason"
  done
  [[ $(grep -m 1 ^test_ "$summary") == test_AttentionOf_fp32* ]] || fail "attention is not first"
fi

if [[ ! -x $build/tests/simt_trunkline ]]; then
  echo "no SIMT test machine in this build"
  exit 0
fi
# The machine's programs, but for some that fail and some that hang, with children in a session of
# their own, whatever they are told.
fake=$work/build
mkdir -p "$fake/tests" "$work/tools"
ln -s "$build/trunkline" "$fake/"
ln -s "$build/tests"/simt_* "$fake/tests/"
replace() {  # FILE: by stdin
  rm -f "$1"
  cat - > "$1"
  chmod +x "$1"
}
hang='trap "" TERM; setsid sleep 3600 & sleep 3600; sleep 3600'
replace "$fake/tests/simt_kernels_tests" << PROGRAM
#!/bin/bash
case \$* in
  *--gtest_list_tests*)
    "$build/tests/simt_kernels_tests" "\$@" --gtest_filter='-*Rope*'
    printf 'Rope.\n  A\nTypes/Rope.\n  B/bf16  # a type\n  C/bf16\n'
    ;;
  *--gtest_filter=Types/Rope.\\*/bf16)
    printf 'ratio a 0.25\nratio b 1.5\nratio c 0.5\n'
    kill -ABRT \$\$
    ;;
  *--gtest_filter=Rope.\\*) exit 3 ;;
  *) exec "$build/tests/simt_kernels_tests" "\$@" ;;
esac
PROGRAM
replace "$fake/tests/simt_mpi_device_collectives" << PROGRAM
#!/bin/bash
[[ \$1 != *Staged* ]] || { $hang; }
exec "$build/tests/simt_mpi_device_collectives" "\$@"
PROGRAM
replace "$work/tools/compute-sanitizer" << 'TOOL'
#!/bin/bash
case $4 in
  memcheck) echo "========= ERROR SUMMARY: 2 errors" && exit 9 ;;
  racecheck) echo "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)" ;;
  *) echo "no kernel" ;;
esac
TOOL
replace "$work/tools/ncu" << 'TOOL'
#!/bin/bash
[[ $* == *gpu__time_duration.sum* ]] || { echo "==ERROR== ERR_NVGPUCTRPERM" && exit 1; }
row() {
  echo "\"$1\",\"7\",\"trunkline\",\"host\",\"$2\",\"1\",\"7\",\"(128, 1, 1)\",\"(12, 1, 1)\",\"0\",\"9.0\",\"Command line profiler metrics\",\"gpu__time_duration.sum\",\"ns\",\"$3\""
}
row 0 RopeKernel 1,500,000
row 1 "void nvjet<a, b>" 4000000
row 2 RopeKernel 500000
TOOL

run 1 simt --simt --budget 800 --limit staged_2_ranks=2
for failed in "test_Rope FAILED exit code 3 after [0-9]* s" \
  "test_Rope_bf16 FAILED signal ABRT after [0-9]* s" "staged_2_ranks FAILED timed out after 2 s" \
  "sanitizer_memcheck FAILED exit code 9 after [0-9]* s" \
  "sanitizer_initcheck FAILED exit code 1 after [0-9]* s"; do
  says "$failed"
done
[[ $(grep -c '^[^ ]* FAILED ' "$summary") == 5 ]] || fail "more fails than was made to fail"
for value in "ratio_Rope_bf16 1.5 of_bound" "sanitizer_memcheck_errors 2 errors" \
  "sanitizer_racecheck_hazards 0 hazards" "ncu_step_total 6 ms" "ncu_step_RopeKernel 2 ms" \
  "ncu_step_void_nvjet_a_b 4 ms" \
  "ncu_attention_backward skipped the driver lets only root read performance counters" \
  "bench_tokens [0-9]+ tokens/s" "bench_planned [0-9.]+ [KMG]iB" \
  "bench_attention_d32_t16_causal_backward [0-9.]+ TFLOP/s" \
  "train_fp32_difference [-0-9.e]+ of_the_loss" "the_same_twice_difference 0 of_the_loss"; do
  says "$value"
done
for name in test_{FinishGradients,Dropout,HeadMetrics} train_{fp32,bf16,fp16,nccl} train_grid_{2x1,1x2} the_same_twice cpu_to_gpu \
  gpu_to_cpu ncu_step sanitizer_racecheck nccl_1_rank bench; do
  says "$name ok [0-9]+ s"
  [[ -s $work/simt/logs/$name.log ]] || fail "no log of $name in the archive"
done

# The budget ends while the first line hangs: that one is cut off, the others are passed over. The
# CPU's training, which the budget is not for, has a limit too.
replace "$fake/tests/simt_kernels_tests" << PROGRAM
#!/bin/bash
[[ \$* == *--gtest_list_tests* ]] && printf 'FinishGradients.\n  A\nRope.\n  A\n' && exit
sleep 3600
PROGRAM
replace "$fake/trunkline" << PROGRAM
#!/bin/bash
sleep 3600
PROGRAM
run 1 budget --simt --budget 14 --limit test_FinishGradients=10 --limit reference=1
((took <= 16)) || fail "$took s where 14 were allowed"
says "test_FinishGradients skipped cut off after [0-9]+ s, at the end of the budget"
for name in test_Rope bench train_fp32 the_same_twice cpu_to_gpu; do
  says "$name skipped [0-9] s of the budget are left, its limit is [0-9]+ s"
done
says "reference FAILED timed out after 1 s"

# Ended by a signal: what there is by then is in the archive, up to the last that a line wrote.
replace "$fake/tests/simt_kernels_tests" << PROGRAM
#!/bin/bash
[[ \$* == *--gtest_list_tests* ]] && printf 'FinishGradients.\n  A\nRope.\n  A\n' && exit
head -c 20000000 /dev/zero | tr '\\0' '\\n'
for ((i = 1; ; i++)); do
  echo \$i
  echo \$i >> "$work/hangs"
done
PROGRAM
env TRUNKLINE_BUILD="$fake" TL_GPU_SCRIPT_TEST="$work" "$script" --simt --out "$work/ended" \
  > "$work/ended.log" 2>&1 &
for ((i = 0; i < 300; i++)); do
  [[ ! -e $work/hangs ]] || break
  sleep 0.1
done
kill %1
status=0
wait %1 || status=$?
[[ $status == 143 ]] || fail "exit code $status after a signal"
if grep -lsz "^TL_GPU_SCRIPT_TEST=$work" /proc/[0-9]*/environ; then fail "processes are left"; fi
tar -C "$work/ended" -xzf "$work/ended/results.tar.gz"
(($(tail -n 1 "$work/ended/logs/test_FinishGradients.log") >= $(tail -n 1 "$work/hangs"))) ||
  fail "what was there is not in the archive"
echo "all as expected"
