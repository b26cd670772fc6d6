#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Trains on GPU nodes under SLURM, a rank for each GPU. Called by hand it submits itself, in the root
# of the project; the job saves ahead of its time limit, goes back into the queue and goes on, until
# training is done:
#   PARTITION=gpu TIME=4:00:00 NODES=2 GPUS_PER_NODE=8 launch/slurm/gpu.sh configs/7b.toml [--set ...]
# The settings, with what they are by default, are below and in launch/slurm/job.sh.
: "${GPUS_PER_NODE:=8}"
: "${CPUS_PER_RANK:=8}"
RANKS_PER_NODE=$GPUS_PER_NODE
export GPUS_PER_NODE RANKS_PER_NODE CPUS_PER_RANK
# A job runs a copy of this elsewhere.
: "${SLURM_SCRIPTS:=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}"
[[ -f $SLURM_SCRIPTS/job.sh ]] || SLURM_SCRIPTS=$SLURM_SUBMIT_DIR/launch/slurm
export SLURM_SCRIPTS
# shellcheck source=launch/slurm/job.sh
source "$SLURM_SCRIPTS/job.sh"

if [[ -z ${SLURM_JOB_ID:-} ]]; then
  # Every rank sees the GPUs of its node and takes the one of its number there.
  submit "$SLURM_SCRIPTS/gpu.sh" --job-name=trunkline --gpus-per-node="$GPUS_PER_NODE" -- "$@"
else
  run train "$@" --set ${TENSOR:+parallel.tensor="$TENSOR"} run.device=cuda
fi
