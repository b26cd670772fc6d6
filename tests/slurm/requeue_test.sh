#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A training under a real SLURM of two nodes, 4 ranks, by launch/slurm/cpu.sh as users call it:
#   1. the job's time runs out    -> saved, exit code 85, requeued
#   2. scancel --signal=USR1      -> saved, exit code 85, requeued
#   3. it goes on to its end      -> exit code 0
#   4. a rank is killed           -> the job ends within 10 s
# The last checkpoint equals that of a run that nobody interrupted, to the bit.
#   tests/slurm/requeue_test.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
why=$(tests/slurm/cluster.sh missing)
if [[ -n $why ]]; then
  echo "SKIPPED: no SLURM for a test here: $why"
  exit 0
fi

folder=$(mktemp -d)
log=$folder/job.log
finish() {
  local code=$?
  if [[ $code != 0 ]]; then
    echo "FAILED; the job said:"
    cat "$log" 2> /dev/null || true
    tail -n 20 "$folder"/slurm/*.log || true
  fi
  scancel --user=root 2> /dev/null || true
  tests/slurm/cluster.sh stop "$folder/slurm"
  rm -rf "$folder"
  exit $code
}
trap finish EXIT
export SLURM_CONF=$folder/slurm/slurm.conf
tests/slurm/cluster.sh start "$folder/slurm"

# Two nodes of one host: shared memory between them would be taken for that of one node.
export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export HWLOC_HIDE_ERRORS=2 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

seq 1 20000 > "$folder/text"
"$program" tokenize --tokenizer bytes --out "$folder/train.tok" "$folder/text" > /dev/null
config=$folder/config.toml
cat > "$config" << EOF
[model]
layers = 1
hidden = 64
heads = 2
kv_heads = 1
ffn = 96
vocab = 256
[data]
train = "$folder/train.tok"
[parallel]
tensor = 2
[precision]
compute = "bf16"
[train]
steps = 1000000
sequence_length = 16
global_batch_size = 4
micro_batch_size = 1
[optimizer]
warmup_steps = 10
[run]
log_every = 1000000
EOF

# wait_for WHAT SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    if ((SECONDS > end)); then
      echo "waited in vain for $what"
      exit 1
    fi
    sleep 0.2
  done
}
says() { grep -qs -- "$1" "$log"; }
count() { grep -cs -- "$1" "$log" || true; }
step() { tail -n 1 "$folder/run/metrics.jsonl" 2> /dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p'; }
steps_since() { (($(step) >= $1 + $2)) 2> /dev/null; }
stopped_at() { sed -n 's/.*stopped by .* after step \([0-9]*\) of.*/\1/p' "$log" | tail -n 1; }
state() { squeue -h -j "$job" -o %T 2> /dev/null || true; }
is_pending() { [[ $(state) == PENDING ]]; }
# SLURM lets a requeued job wait for two minutes. In the second in which it ended it is not started
# again: "credential revoked".
release() {
  wait_for "the job in the queue" 60 is_pending
  sleep 2
  scontrol update JobId="$job" StartTime=now
}

# SLURM counts in minutes, and sends the signal some seconds before it is due.
export TIME=1 SAVE_SECONDS=35 NODES=2 RANKS_PER_NODE=2 CPUS_PER_RANK=1 TENSOR=2
export TRUNKLINE=$program LOG=$log
submitted=$(launch/slurm/cpu.sh "$config" --set run.dir="$folder/run")
echo "$submitted"
job=${submitted##* }

wait_for "the end of the job's time" 60 says "stopped by SIGUSR1"
first=$(stopped_at)
wait_for "exit code 85" 20 says "^exit code 85"
release
echo "1: saved step $first at the end of the time, requeued (at $SECONDS s)"

wait_for "the second start" 60 says "start 1"
wait_for "steps after step $first" 60 steps_since "$first" 3
[[ $(count "stopped by") == 1 ]] || { echo "the time ran out too soon"; exit 1; }
scancel --signal=USR1 "$job"
stops() { (($(count "stopped by") >= $1)); }
wait_for "the second save" 60 stops 2
second=$(stopped_at)
((second > first)) || { echo "step $second after step $first"; exit 1; }
echo "2: saved step $second at scancel --signal=USR1, requeued (at $SECONDS s)"

# The config is read at each start: this is the last one, unless its time runs out too.
last=$((second + 20))
echo "stop_after = $last" >> "$config"
ended() { says "^exit code 0"; }
for ((start = 2; start < 6; start++)); do
  release
  ends() { ended || stops $((start + 1)); }
  wait_for "start $start" 60 says "start $start"
  wait_for "its end" 90 ends
  if ended; then
    break
  fi
done
wait_for "exit code 0" 5 ended
echo "3: done at step $last (at $SECONDS s)"

mpirun --oversubscribe -n 4 "$program" train "$config" --set run.dir="$folder/reference" \
  > "$folder/reference.log" || { cat "$folder/reference.log"; exit 1; }
checkpoint=$(printf 'step_%08d' "$last")
"$program" checkpoint diff "$folder/run/$checkpoint" "$folder/reference/$checkpoint"
echo "   equal to the bit to a run without interruptions (at $SECONDS s)"

# Nothing to resume, nothing to stop at.
sed -i '/^stop_after/d' "$config"
rm -f "$log"
submitted=$(launch/slurm/cpu.sh "$config" --set run.dir="$folder/killed")
job=${submitted##* }
running() { [[ -s $folder/killed/metrics.jsonl ]]; }
wait_for "a step" 60 running
ranks=$(pgrep -f "^$program train $config" | sort -n)
[[ $(wc -w <<< "$ranks") == 4 ]] || { echo "expected 4 ranks, found: $ranks"; exit 1; }
killed_at=$SECONDS
kill -KILL "$(tail -n 1 <<< "$ranks")"
wait_for "the end of the job" 10 says "^exit code"
says "^exit code 137" || { echo "expected exit code 137"; exit 1; }
echo "4: a rank was killed and the job ended within $((SECONDS - killed_at)) s"
echo "PASSED in $SECONDS s"
