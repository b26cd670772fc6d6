#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Packs what has been built to run elsewhere: trunkline, Open MPI's mpirun and the test programs of
# tests/gpu/run.sh, stripped, with every library they load but CUDA's, the C library and its loader
# included; the licences of them all; the configs; and the losses of a short training on this
# machine's CPU, which run.sh compares GPUs with. Runs on any x86-64 Linux, from any folder, without
# installing anything. On GPUs it needs the driver, and cuBLASLt and NCCL where a CUDA toolkit or
# Python's wheels put them.
#   launch/bundle.sh FOLDER.tar.xz     an archive
#   launch/bundle.sh FOLDER            the folder itself, to be copied as it is
# Then: FOLDER/bin/trunkline info;  FOLDER/bin/mpirun -n 2 FOLDER/bin/trunkline train CONFIG
#       FOLDER/tests/gpu/run.sh
build=${TRUNKLINE_BUILD:-build}
here=$PWD
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ $# == 1 ]] || die "usage: launch/bundle.sh FOLDER or launch/bundle.sh FOLDER.tar.xz"
out=$1
[[ $out == /* ]] || out=$here/$out
[[ $build == /* ]] || build=$PWD/$build
[[ -x $build/trunkline ]] || die "$build/trunkline is not there; run launch/build.sh --tests"
folder=${out%.tar.xz}
[[ ! -e $out && ! -L $out && ! -e $folder && ! -L $folder ]] || die "$out is there already"
mpirun=$(readlink -f "$(type -P mpirun)") || mpirun="no mpirun"
[[ ${mpirun##*/} == orterun ]] ||
  die "bundles need Open MPI 4, whose mpirun is one program; found $mpirun"

work=$(mktemp -d)
trap 'rm -rf "$work" "$out.part.$$"' EXIT
root=$work/$(basename "$folder")
mkdir -p "$root"/{bin,lib/openmpi,lib/pmix,libexec,share,etc,tests/gpu,configs}

# pack FOLDER FILE...: copies files of other projects, and notes them for their licences.
pack() {
  cp -nL "${@:2}" "$1/"
  printf '%s\n' "${@:2}" >> "$work/packed"
}

# The programs.
cp "$build/trunkline" "$root/libexec/"
cp "$mpirun" "$root/libexec/mpirun"
echo "$mpirun" > "$work/packed"
for test in gpu_tests mpi_device_collectives_test comm_bench; do
  if [[ -x $build/tests/$test ]]; then
    cp "$build/tests/$test" "$root/libexec/"
  fi
done

# Open MPI's plug-ins, but for networks of clusters and what else is not needed on one host.
plugins=$(ompi_info --path pkglibdir --parsable | cut -d: -f3)
for plugin in "$plugins"/mca_*.so; do
  case $(basename "$plugin") in
    *_ofi* | *_ucx* | *_psm* | *_openib* | *_usnic* | *_portals* | *_cuda* | *_monitoring* | \
      mca_io_* | mca_fs_* | mca_fbtl_* | mca_fcoll_* | mca_sharedfp_* | mca_coll_hcoll* | \
      *_oshmem* | mca_spml_* | mca_memheap_* | mca_scoll_* | mca_sshmem_* | mca_atomic_* | \
      mca_vprotocol_* | mca_pml_v* | mca_crs_* | mca_ras_gridengine* | mca_plm_rsh*.xx) ;;
    *) pack "$root/lib/openmpi" "$plugin" ;;
  esac
done
pmix=$(ldconfig -p | awk '/libpmix\.so\.2 .*x86-64/ && !path {path = $NF} END {print path}')
for plugins in "$(dirname "$pmix")/pmix2/lib/pmix" "$(dirname "$(readlink -f "$pmix")")/pmix"; do
  if compgen -G "$plugins/*.so" > /dev/null; then
    pack "$root/lib/pmix" "$plugins"/*.so
    break
  fi
done
cp -rL /usr/share/openmpi "$root/share/" 2> /dev/null || true
cp -rL /usr/share/pmix "$root/share/" 2> /dev/null || true
cp /etc/openmpi/*.conf "$root/etc/" 2> /dev/null || true
find -L /usr/share/openmpi /usr/share/pmix /etc/openmpi -type f 2> /dev/null >> "$work/packed" || true

# What all of these load. PMIx is loaded by name.
find "$root" -type f \( -name '*.so' -o -path '*/libexec/*' \) -print0 |
  xargs -0 ldd 2> /dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3}' > "$work/libraries"
if [[ -n $pmix ]]; then
  echo "$pmix" >> "$work/libraries"
fi
while IFS= read -r library; do
  ldd "$library" | awk '$2 == "=>" && $3 ~ /^\// {print $3}'
done < <(sort -u "$work/libraries") >> "$work/libraries.more"
sort -u "$work/libraries" "$work/libraries.more" | while IFS= read -r library; do
  pack "$root/lib" "$library"
done
pack "$root/lib" /lib64/ld-linux-x86-64.so.2
if find "$root/lib" -regex '.*/lib\(cuda\|cublas\|nccl\|nvidia\)[^/]*' | grep .; then
  die "one of CUDA's libraries is linked, and must be found at run time instead"
fi

# Loaders for them all.
"${CXX:-g++}" -std=c++20 -O2 -static -Wall -Wextra -o "$work/start" launch/bundle_start.cc
find "$root" -type f \( -name '*.so*' -o -path '*/libexec/*' \) -exec chmod u+w {} + \
  -exec strip --strip-unneeded {} + 2> /dev/null
strip "$work/start"
for program in "$root"/libexec/*; do
  ln "$work/start" "$root/bin/$(basename "$program")"  # one file under many names
done

launch/bundle_licenses.sh "$root" < "$work/packed"
cp -r configs/. "$root/configs/"
cp tests/gpu/*.{sh,awk,py} "$root/tests/gpu/"
say "training on the CPU for tests/gpu/run.sh"
TRUNKLINE_BUILD=$build tests/gpu/reference.sh "$root/tests/gpu/reference" > "$work/reference.log" 2>&1 ||
  die "tests/gpu/reference.sh: $(tail -n 1 "$work/reference.log")"
"$build/trunkline" --version > "$root/VERSION" 2> /dev/null || git describe --always > "$root/VERSION"

size() { du -cshL "$@" | awk 'END {print $1}'; }
parts="of it programs $(size "$root/libexec"), libraries $(size "$root/lib"), the CPU's training $(
  size "$root/tests/gpu/reference")"
mkdir -p "$(dirname "$out")"
if [[ $out == *.tar.xz ]]; then
  XZ_OPT=${XZ_OPT:--T0 -6} tar -C "$work" -cJf "$out.part.$$" "$(basename "$folder")"
  mv -nT "$out.part.$$" "$out"
  (($(stat -c %s "$out") < 60 * 1024 * 1024)) || die "$out is larger than 60 MiB"
  say "$out: $(du -h "$out" | cut -f1), unpacked $(size "$root"), $parts"
else
  mv -nT "$root" "$out"
  say "$out: $(size "$out"), $parts"
fi
