# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts in launch/ share. Source it. In the sources it moves to their root; of an installed
# program the scripts work where they are called. trunkline: the program. configs: the folder of configs.
set -euo pipefail
launch=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # the scripts read them
if [[ -f $launch/../CMakeLists.txt ]]; then
  in_sources=yes
  cd "$launch/.."
  trunkline=build/trunkline
  configs=configs
else
  in_sources=no
  trunkline=$(cd "$launch/../../../bin" && pwd)/trunkline
  configs=$(cd "$launch/../configs" && pwd)
fi

launch_started=$SECONDS
say() { printf '\n== %s (at %d s)\n' "$*" $((SECONDS - launch_started)); }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

cores=$(nproc)

# Open MPI on one machine, for mpirun in these scripts and in ctest.
local_mpi_environment() {
  # Ranks share the cores given to the job; binding would put all threads of a rank on one core.
  # Open MPI 5 starts ranks by PRRTE, which has its own name for it.
  export OMPI_MCA_hwloc_base_binding_policy="${OMPI_MCA_hwloc_base_binding_policy:-none}"
  export PRTE_MCA_hwloc_default_binding_policy="${PRTE_MCA_hwloc_default_binding_policy:-none}"
  # Of TCP the ranks of one host need the loopback alone, and Open MPI 5 warns of interfaces that
  # lead nowhere.
  if [[ -z ${OMPI_MCA_btl_tcp_if_exclude:-} ]]; then
    export OMPI_MCA_btl_tcp_if_include="${OMPI_MCA_btl_tcp_if_include:-lo}"
  fi
  # Chroots often lack /sys, and hwloc says so from every rank.
  export HWLOC_HIDE_ERRORS="${HWLOC_HIDE_ERRORS:-2}"
  # Open MPI looks up "localhost"; without that name here a slow DNS costs 5 s a time.
  if ! grep -qsw localhost /etc/hosts; then
    export RES_OPTIONS="${RES_OPTIONS:-timeout:1 attempts:1}"
  fi
}

# launch_mpi N COMMAND...: N ranks on this machine, the cores divided among them.
launch_mpi() {
  local ranks=$1
  shift
  command -v mpirun > /dev/null || die "mpirun is not there, which starts ranks: Debian's openmpi-bin"
  local options=()
  if [[ $(id -u) == 0 ]]; then
    options+=(--allow-run-as-root)
  fi
  if ((ranks > cores)) || [[ $(id -u) == 0 ]]; then
    options+=(--oversubscribe)
  else
    # Else Open MPI takes a core of two threads, as virtual machines have them, for one slot.
    options+=(--use-hwthread-cpus)
  fi
  (
    local_mpi_environment
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > ranks ? cores / ranks : 1))}"
    exec mpirun "${options[@]}" -n "$ranks" "$@"
  )
}

# data/kjv.txt: the King James Bible of Debian's bible-kjv, a verse a line, in the public domain.
make_kjv_text() {
  if [[ -s data/kjv.txt ]]; then
    return
  fi
  command -v bible > /dev/null || die "data/kjv.txt is not there, nor is bible, which writes it: Debian's bible-kjv"
  say "writing data/kjv.txt"
  mkdir -p data
  # Before the text stand a greeting and the prompt, after it the prompt again.
  echo gen1:1-rev22:21 | bible -f | sed -e '1,/^bible(/d' -e '/^bible(/d' > data/kjv.part
  [[ $(wc -l < data/kjv.part) == 31102 ]] || die "bible -f did not print the 31102 verses"
  mv data/kjv.part data/kjv.txt
}
