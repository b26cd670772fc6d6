#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing, and only those.
#   launch/setup.sh           what the program and the quick start need
#   launch/setup.sh --tests   also what launch/test.sh needs
#   launch/setup.sh --lint    also what launch/lint.sh needs
#   launch/setup.sh --package also what cpack makes the Debian package with
#   launch/setup.sh --peers   also what launch/test.sh --peers needs
#   launch/setup.sh --experiments   also the texts of tests/experiments/
#   launch/setup.sh --fashion   also the pictures of launch/fashion.sh
#   launch/setup.sh --slurm   also what tests/slurm/ needs; without it that test is skipped
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
  g++ cmake ninja-build pkg-config
  # find_package(dnnl) asks for OpenCL, which only ocl-icd-opencl-dev brings.
  libopenmpi-dev openmpi-bin libdnnl-dev ocl-icd-opencl-dev libhwy-dev libabsl-dev libcli11-dev
  libtomlplusplus-dev libspdlog-dev nlohmann-json3-dev libsentencepiece-dev libpcre2-dev libutf8proc-dev
  libhdf5-dev libpng-dev
  bible-kjv bible-kjv-text
)
while (($#)); do
  case $1 in
    --lint) packages+=(clang-tidy-19 libomp-19-dev) ;;
    --tests) packages+=(libgtest-dev clang-format-19 xz-utils dpkg-dev file) ;;
    --package) packages+=(dpkg-dev file) ;;
    --peers) packages+=(python3-venv) ;;
    --experiments) packages+=(dict-gcide) ;;
    --fashion) packages+=(dataset-fashion-mnist) ;;
    --slurm) packages+=(slurmctld slurmd slurm-client munge) ;;
    *) die "unknown option $1; see the top of launch/setup.sh" ;;
  esac
  shift
done

if ! command -v apt-get dpkg-query > /dev/null; then
  echo "no apt here, so nothing is installed; the build needs what Debian calls: ${packages[*]}" >&2
  exit 0
fi

declare -A installed=()
while read -r status name; do
  if [[ $status == ii* || $status == hi* ]]; then
    installed[$name]=1
  fi
done < <(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2> /dev/null || true)

missing=()
for package in "${packages[@]}"; do
  if [[ -z ${installed[$package]:-} ]]; then
    missing+=("$package")
  fi
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

as_root=()
if [[ $(id -u) != 0 ]]; then
  command -v sudo > /dev/null ||
    die "these packages are missing and there is no sudo; as root: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
say "installing ${missing[*]}"
log=$(mktemp)
{
  "${as_root[@]}" apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes \
      --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"
} > "$log" 2>&1 || {
  tail -n 30 "$log" >&2
  die "apt could not install ${missing[*]}; all it said is in $log"
}
rm -f "$log"
