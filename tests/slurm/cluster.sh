#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real SLURM of two nodes, n1 and n2, on this host, for tests: its own munge, controller and two
# slurmd, everything in one folder. As root; launch/setup.sh --slurm installs it.
#   tests/slurm/cluster.sh start DIR    then: export SLURM_CONF=DIR/slurm.conf
#   tests/slurm/cluster.sh stop DIR
#   tests/slurm/cluster.sh missing      prints why it cannot run here; nothing: it can
# Ports 16817, 16901 and 16902.
set -euo pipefail

missing() {
  local tool
  for tool in munged slurmctld slurmd sbatch srun scontrol; do
    command -v "$tool" > /dev/null || {
      echo "$tool is not installed"
      return
    }
  done
  [[ $(id -u) == 0 ]] || echo "not root"
}

configure() {
  local dir=$1 host
  host=$(hostname -s)
  cat << EOF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
SlurmctldPort=16817
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmdSpoolDir=$dir/spool.%n
StateSaveLocation=$dir/state
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
KillWait=30
ReturnToService=2
SlurmdParameters=config_overrides
# PMIx keeps its files here; two nodes of one host must not share them.
TmpFS=$dir/tmp.%n
EOF
  local node
  for node in 1 2; do
    echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((16900 + node)) CPUs=2 RealMemory=2000 State=UNKNOWN"
  done
  echo "PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP"
}

start() {
  local dir=$1 node
  mkdir -p "$dir"/{munge,state,spool.n1,spool.n2,tmp.n1,tmp.n2}
  chmod 755 "$dir" "$dir/munge"  # munged insists
  chmod 1777 "$dir"/tmp.n?
  head -c 128 /dev/urandom > "$dir/munge/key"
  chmod 600 "$dir/munge/key"
  configure "$dir" > "$dir/slurm.conf"
  export SLURM_CONF=$dir/slurm.conf
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" \
    > "$dir/munged.out" 2>&1
  slurmctld -f "$SLURM_CONF" > "$dir/slurmctld.out" 2>&1
  for node in n1 n2; do
    slurmd -N $node -f "$SLURM_CONF" > "$dir/slurmd.$node.out" 2>&1
  done
  local waited
  for ((waited = 0; waited < 150; waited++)); do
    if [[ $(sinfo -h -N -t idle -o %N 2> /dev/null | sort -u | wc -l) == 2 ]]; then
      return
    fi
    sleep 0.2
  done
  echo "the nodes are not idle after 30 s; logs are in $dir" >&2
  sinfo -N -l >&2 || true
  return 1
}

stop() {
  local dir=$1 daemon pid waited
  for daemon in slurmd.n1 slurmd.n2 slurmctld munged; do
    if pid=$(cat "$dir/$daemon.pid" 2> /dev/null); then
      for ((waited = 0; waited < 100; waited++)); do
        kill "$pid" 2> /dev/null || break
        sleep 0.1
      done
    fi
  done
}

case ${1:-} in
  start) start "$2" ;;
  stop) stop "$2" ;;
  missing) missing ;;
  *)
    sed -n '/^[^#]/q;/^#!/d;/SPDX/d;s/^# \?//p' "$0"
    exit 2
    ;;
esac
