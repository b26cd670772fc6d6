#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Packs the build folder given, moves the bundle, and runs it where there is nothing but itself: in a
# root folder that holds it and device files alone, else (not root) with an empty environment.
#   tests/program/bundle_test.sh BUILD
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for program in mpirun ompi_info xz; do
  if ! type -P "$program" > /dev/null; then
    echo "skipped: no $program"
    exit 0
  fi
done
mpirun=$(readlink -f "$(type -P mpirun)")
if [[ ${mpirun##*/} != orterun ]]; then
  echo "skipped: bundles need Open MPI 4, whose mpirun is one program; found $mpirun"
  exit 0
fi
work=$(mktemp -d)
mounted=()
cleanup() {
  for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}" || true; done
  rm -rf "$work"
}
trap cleanup EXIT

XZ_OPT=-0 TRUNKLINE_BUILD=$build launch/bundle.sh "$work/first/bundle.tar.xz"
root=$work/root
mkdir -p "$root"/{opt,tmp,dev,proc,data}
tar -C "$root/opt" -xJf "$work/first/bundle.tar.xz"
mv "$root/opt/bundle" "$root/opt/moved elsewhere"
rm -rf "$work/first"

cat > "$root/data/tiny.toml" << 'CONFIG'
[model]
layers = 1
hidden = 64
heads = 2
ffn = 96
vocab = 256
[data]
train = "/data/train.tok"
[train]
steps = 3
sequence_length = 16
global_batch_size = 4
micro_batch_size = 1
[run]
dir = "/data/run"
device = "cpu"
CONFIG
for ((i = 0; i < 200; i++)); do echo "line $i of a text to train on"; done > "$root/data/text.txt"

in_bundle="/opt/moved elsewhere"
settings=(OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe)
if [[ $(id -u) == 0 ]] && mount -t proc proc "$root/proc" 2> /dev/null; then
  mounted+=("$root/proc")
  for device in null zero urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device" && mounted+=("$root/dev/$device")
  done
  mkdir "$root/dev/shm"
  run() { env -i "$(command -v chroot)" "$root" "$in_bundle/bin/$1" "${@:2}"; }
  run_with() { env -i "${settings[@]}" "$(command -v chroot)" "$root" "$in_bundle/bin/$1" "${@:2}"; }
  where="alone in a root folder"
else
  # The same paths, as seen from here.
  sed -i "s|/data/|$root/data/|" "$root/data/tiny.toml"
  in_bundle=$root/opt/moved\ elsewhere
  run() { (cd / && env -i "$in_bundle/bin/$1" "${@:2}"); }
  run_with() { (cd / && env -i "${settings[@]}" "$in_bundle/bin/$1" "${@:2}"); }
  where="in an empty environment"
fi
data=$(sed -n 's/^train = "\(.*\)\/train.tok"/\1/p' "$root/data/tiny.toml")

run trunkline info
run trunkline tokenize --tokenizer bytes --out "$data/train.tok" "$data/text.txt"
run_with mpirun -n 2 "$in_bundle/bin/trunkline" train "$data/tiny.toml" | tee "$work/log"
grep -q "^step 3/3" "$work/log"
if [[ -x $root/opt/moved\ elsewhere/bin/mpi_device_collectives_test ]]; then
  run_with mpirun -n 2 "$in_bundle/bin/mpi_device_collectives_test" | tail -n 3
fi
# Every library comes with its licence, and nothing is of no package.
bundle=$root/opt/moved\ elsewhere
licenses=$bundle/licenses
[[ -s $bundle/LICENSE && -s $bundle/NOTICE && -s $licenses/packages.txt ]]
for library in "$bundle"/lib/*.so* "$bundle"/lib/*/*.so "$bundle/libexec/mpirun"; do
  name=$(basename "$library")
  [[ $name != mpirun ]] || name=orterun
  package=$(awk -F '\t' -v name="$name" '$1 == name {print $2}' "$licenses/files.txt")
  [[ -s $licenses/$package/copyright ]] || { echo "$name has no licence"; exit 1; }
  grep -q "^$package " "$licenses/packages.txt"
done
if grep $'\t?$' "$licenses/files.txt"; then exit 1; fi
[[ -s $licenses/libhdf5-dev/copyright && -s $licenses/common-licenses/LGPL-2.1 ]]
# The checks of GPUs come along with what they compare with, and find all of it where they lie.
for file in settings train.tok eval.tok runs/cpu/metrics.jsonl runs/cpu/step_00000010/manifest.json; do
  [[ -s $bundle/tests/gpu/reference/$file ]]
done
[[ $(grep -c '"loss":' "$bundle/tests/gpu/reference/runs/cpu/metrics.jsonl") == 20 ]]
if "$build/trunkline" info | grep '^  cuda  *none: '; then
  (cd / && "$bundle/tests/gpu/run.sh" --out "$work/results") | tee "$work/log"
  grep -q '^train_bf16 skipped ' "$work/log"
  grep -q '^0 ok, 0 FAILED, ' "$work/log"
fi
# A tool that does not follow the launcher sees the program by the bundle's loader.
# shellcheck disable=SC2016
printf '#!/bin/bash\n"$@" && [[ $1 == */ld-linux-x86-64.so.2 ]] && echo seen\n' > "$work/tool"
chmod +x "$work/tool"
(cd "$work" && root=$bundle "$bundle/tests/gpu/checks.sh" tool '^seen' ./tool -- \
  "$bundle/bin/trunkline" --version) | tee "$work/log"
[[ $(grep -c '^trunkline ' "$work/log") == 2 ]]
echo "the bundle trained on two ranks $where"
