#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A sweep under SLURM: one training per line of the table below, each an element of a job array with
# a folder of its own, saved and requeued by itself like any job. An example; change the table.
#   PARTITION=cpu TIME=1:00:00 launch/slurm/sweep.sh configs/kjv-10m.toml
# The settings, with what they are by default, are below and in launch/slurm/job.sh.
: "${RANKS_PER_NODE:=2}"
: "${CPUS_PER_RANK:=8}"
: "${SWEEP:=checkpoints/sweep}"  # the folder of the runs
: "${AT_ONCE:=4}"                # elements that run at the same time
: "${LOG:=%x-%A-%a.log}"
export RANKS_PER_NODE CPUS_PER_RANK SWEEP LOG
# A job runs a copy of this elsewhere.
: "${SLURM_SCRIPTS:=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}"
[[ -f $SLURM_SCRIPTS/job.sh ]] || SLURM_SCRIPTS=$SLURM_SUBMIT_DIR/launch/slurm
export SLURM_SCRIPTS
# shellcheck source=launch/slurm/job.sh
source "$SLURM_SCRIPTS/job.sh"

settings=(
  "optimizer.lr=1e-3 optimizer.weight_decay=0.1"
  "optimizer.lr=3e-3 optimizer.weight_decay=0.1"
  "optimizer.lr=1e-3 optimizer.weight_decay=0.01"
  "optimizer.lr=3e-3 optimizer.weight_decay=0.01"
)

if [[ -z ${SLURM_JOB_ID:-} ]]; then
  submit "$SLURM_SCRIPTS/sweep.sh" --job-name=sweep --array="0-$((${#settings[@]} - 1))%$AT_ONCE" -- "$@"
else
  read -ra keys <<< "${settings[$SLURM_ARRAY_TASK_ID]}"
  run train "$@" --set ${TENSOR:+parallel.tensor="$TENSOR"} \
    run.dir="$SWEEP/$SLURM_ARRAY_TASK_ID" "${keys[@]}"
fi
