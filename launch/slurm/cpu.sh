#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Trains on CPU nodes under SLURM. Called by hand it submits itself, in the root of the project; the
# job saves ahead of its time limit, goes back into the queue and goes on, until training is done:
#   PARTITION=cpu TIME=4:00:00 NODES=2 launch/slurm/cpu.sh configs/kjv-10m.toml [--set KEY=VALUE...]
# The settings, with what they are by default, are below and in launch/slurm/job.sh.
: "${RANKS_PER_NODE:=2}"  # one per socket or memory domain is a good choice
: "${CPUS_PER_RANK:=8}"
export RANKS_PER_NODE CPUS_PER_RANK
# A job runs a copy of this elsewhere.
: "${SLURM_SCRIPTS:=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}"
[[ -f $SLURM_SCRIPTS/job.sh ]] || SLURM_SCRIPTS=$SLURM_SUBMIT_DIR/launch/slurm
export SLURM_SCRIPTS
# shellcheck source=launch/slurm/job.sh
source "$SLURM_SCRIPTS/job.sh"

if [[ -z ${SLURM_JOB_ID:-} ]]; then
  submit "$SLURM_SCRIPTS/cpu.sh" --job-name=trunkline -- "$@"
else
  run train "$@" --set ${TENSOR:+parallel.tensor="$TENSOR"} run.device=cpu
fi
