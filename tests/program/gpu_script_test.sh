#!/bin/bash
# tests/gpu/run.sh where there is no GPU: every check that needs one is skipped, by name and with the
# reason, the count is theirs, and nothing fails.
#   tests/program/gpu_script_test.sh BUILD
set -euo pipefail
build=$(cd "$1" && pwd)
script=$(cd "$(dirname "${BASH_SOURCE[0]}")/../gpu" && pwd)/run.sh
if ! "$build/trunkline" info | grep -q '^  cuda  *none: '; then
  echo "skipped: there is a GPU; run tests/gpu/run.sh"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! TRUNKLINE_BUILD=$build "$script" "$work/results" > "$work/log" 2>&1; then
  cat "$work/log"
  echo "the script fails"
  exit 1
fi
cat "$work/log"
summary=$work/results/summary.txt
fail() {
  echo "FAILED: $1"
  exit 1
}
reason=$("$build/trunkline" info | sed -n 's/^  cuda  *none: //p')
for name in kernels sanitizer_{memcheck,racecheck,initcheck} nccl_1_rank staged_{2,4}_ranks \
  nccl_all_gpus train_{cpu,gpu,gpu_nccl,bf16,fp16,again} loss_{as_on_the_cpu,over_nccl,bf16,fp16} \
  {train,loss}_staged_{2_tensor_1,2_tensor_2,4_tensor_1,4_tensor_2,4_tensor_4} the_same_twice \
  weights_of_the_{cpu,gpu} from_cpu_to_gpu from_gpu_to_cpu bench_{124m,0.5b,1.5b,3b}_{1024,4096} \
  bench_attention torch; do
  [[ $(grep -c "^skipped   $name: ." "$summary") == 1 ]] || fail "$name is not named once as skipped"
done
[[ $(grep -c "^skipped .*: $reason\$" "$summary") -ge 40 ]] || fail "the reason is not given"
skipped=$(grep -c '^skipped ' "$summary")
[[ $(tail -n 1 "$summary") == "1 passed, 0 failed, $skipped skipped" ]] || fail "the count is wrong"
