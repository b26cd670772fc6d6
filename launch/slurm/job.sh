#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the SLURM scripts share. They source it. In the sources it moves to their root; of an installed
# program the scripts work where they are called.
#
# A script is called by hand, with its settings in the environment, and submits itself; SLURM then
# runs a copy of it, which gets here again with SLURM_JOB_ID set.
set -euo pipefail
if [[ -f $SLURM_SCRIPTS/../../CMakeLists.txt ]]; then
  cd "${SLURM_SUBMIT_DIR:-$SLURM_SCRIPTS/../..}"
  program=build/trunkline
else
  program=$(cd "$SLURM_SCRIPTS/../../../../bin" && pwd)/trunkline
fi

# submit SCRIPT OPTIONS... -- ARGUMENTS...: as a job that is signalled ahead of its end.
submit() {
  local script=$1
  shift
  local options=(
    --time="$TIME" --nodes="$NODES" --ntasks-per-node="$RANKS_PER_NODE"
    --cpus-per-task="$CPUS_PER_RANK"
    # To this shell alone: it tells the launcher, see run below.
    --signal="B:USR1@$SAVE_SECONDS"
    --requeue --open-mode=append --output="${LOG:-%x-%j.log}"
  )
  if [[ -n $ACCOUNT ]]; then
    options+=(--account="$ACCOUNT")
  fi
  if [[ -n $PARTITION ]]; then
    options+=(--partition="$PARTITION")
  fi
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  shift
  sbatch "${options[@]}" "$script" "$@"
}

# Sets `launcher`: what starts the ranks here.
pick_launcher() {
  local how=$LAUNCHER
  if [[ -z $how ]]; then
    if srun --mpi=list 2>&1 | grep -qw pmix; then
      how=pmix
    elif command -v mpirun > /dev/null; then
      how=mpirun
    else
      how=pmi2
    fi
  fi
  case $how in
    # Where a rank dies PMIx ends the others at once. SLURM itself asks them first and waits.
    pmix) launcher=(srun --mpi=pmix --cpus-per-task="$CPUS_PER_RANK") ;;
    pmi2) launcher=(srun --mpi=pmi2 --kill-on-bad-exit=1 --cpus-per-task="$CPUS_PER_RANK") ;;
    mpirun)
      # Threads may use all cores of the job, not only the one that mpirun would bind a rank to.
      launcher=(mpirun --map-by "ppr:$RANKS_PER_NODE:node" --bind-to none)
      if [[ $(id -u) == 0 ]]; then
        launcher+=(--allow-run-as-root)
      fi
      ;;
    *)
      echo "LAUNCHER=$how: expected pmix, pmi2 or mpirun" >&2
      exit 2
      ;;
  esac
}

# run ARGUMENTS...: trunkline on the ranks of this job. Exit code 85, saved before the end: the job
# goes back into the queue and goes on from there. Ends this shell.
run() {
  local launcher pid code
  pick_launcher
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$CPUS_PER_RANK}"
  echo "job $SLURM_JOB_ID, start ${SLURM_RESTART_COUNT:-0}, on $SLURM_JOB_NODELIST: ${launcher[*]}"
  "${launcher[@]}" "$TRUNKLINE" "$@" &
  pid=$!
  trap 'kill -USR1 $pid' USR1
  # A trap interrupts wait, with another exit code.
  while true; do
    code=0
    wait $pid || code=$?
    kill -0 $pid 2> /dev/null || break
  done
  echo "exit code $code"
  if [[ $code == 85 ]]; then
    local job=$SLURM_JOB_ID
    if [[ -n ${SLURM_ARRAY_JOB_ID:-} ]]; then
      job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    fi
    scontrol requeue "$job"
    sleep 60  # SLURM ends this shell
  fi
  exit "$code"
}

: "${ACCOUNT:=}"            # sbatch --account; empty: the site's default
: "${PARTITION:=}"          # sbatch --partition; empty: the site's default
: "${TIME:=4:00:00}"        # until the job is ended, or requeued to go on
: "${SAVE_SECONDS:=300}"    # how long before that to save: longer than a step, a save, and a minute
: "${NODES:=1}"
: "${LAUNCHER:=}"           # pmix, pmi2 or mpirun; empty: what is there, in this order: pmix, mpirun
: "${TENSOR:=}"             # [parallel] tensor, over that of the config; empty: the config's
: "${TRUNKLINE:=$program}"
export ACCOUNT PARTITION TIME SAVE_SECONDS NODES LAUNCHER TENSOR TRUNKLINE
