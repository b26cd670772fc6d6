#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the build folder given to a prefix, and runs what is there: the program, the quick start in
# a folder of its own, the SLURM scripts under a made-up sbatch, the completions. Then the same files as
# a Debian package.
#   tests/program/install_test.sh BUILD
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
sources=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" > "$work/log" || { cat "$work/log"; exit 1; }
prefix=$work/moved
mv "$work/prefix" "$prefix"
share=$prefix/share/trunkline

# The program is that of the build folder.
[[ $("$prefix/bin/trunkline" --version) == "$("$build/trunkline" --version)" ]]
"$prefix/bin/trunkline" info | grep -q '^libraries'
"$prefix/bin/trunkline" train --help | grep -q 'CONFIG'
cmp LICENSE "$prefix/share/doc/trunkline/LICENSE"
cmp configs/medusa.toml "$share/configs/medusa.toml"

# The quick start's config and script, on a small text, away from the sources.
mkdir -p "$work/mine/data"
cd "$work/mine"
for ((i = 0; i < 400; i++)); do echo "line $i of a text to train on, which is long enough"; done > data/kjv.txt
OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive "$share/launch/quickstart.sh" --set train.steps=2 \
  optimizer.warmup_steps=1 train.eval_batches=1 > log 2>&1 || { cat log; exit 1; }
grep -q '^step *2/2 ' log
[[ -s checkpoints/quickstart/step_00000002/manifest.json && -s data/kjv-eval.tok ]]
grep -q '^steps = 2' checkpoints/quickstart/config.toml

# A job is submitted from there, runs a copy of its script, and finds program and scripts.
mkdir -p "$work/bin" "$work/spool"
cat > "$work/bin/sbatch" << 'SBATCH'
#!/bin/bash
while [[ $1 == -* ]]; do shift; done
cp "$1" "$SPOOL/slurm_script"
shift
SLURM_JOB_ID=7 SLURM_SUBMIT_DIR=$PWD SLURM_JOB_NODELIST=here exec "$SPOOL/slurm_script" "$@"
SBATCH
printf '#!/bin/bash\n[[ $1 != --mpi=list ]] || { echo pmix; exit; }\necho "$PWD: ${@: -5}"\n' > "$work/bin/srun"
chmod +x "$work/bin"/*
for where in "$share/launch" "$sources/launch"; do
  PATH=$work/bin:$PATH SPOOL=$work/spool "$where/slurm/cpu.sh" x.toml > log
  program=$prefix/bin/trunkline folder=$work/mine
  [[ $where == "$share/launch" ]] || program=build/trunkline folder=$sources
  grep -qxF "$folder: $program train x.toml --set run.device=cpu" log || { cat log; exit 1; }
done

# The completions, where the shells look for them.
bash --norc -c 'source "$1" && complete -p trunkline' _ \
  "$prefix/share/bash-completion/completions/trunkline" | grep -q 'F _trunkline '
head -n 1 "$prefix/share/zsh/site-functions/_trunkline" | grep -qx '#compdef trunkline'

if ! type -P cpack dpkg-deb dpkg-shlibdeps file > /dev/null; then
  echo "installed; skipped the Debian package: launch/setup.sh --package brings what it needs"
  exit 0
fi
cd "$work"
cpack --config "$build/CPackConfig.cmake" -B "$work/packages" > log 2>&1 || { cat log; exit 1; }
package=$(echo "$work"/packages/trunkline_*.deb)
dpkg-deb -f "$package" Depends | grep -q 'libc6 (>='
dpkg-deb -x "$package" "$work/root"
[[ $("$work/root/usr/bin/trunkline" --version) == "$("$build/trunkline" --version)" ]]
[[ -s $work/root/usr/share/zsh/vendor-completions/_trunkline ]]
(cd "$prefix" && find . -type f | sed 's|zsh/site-functions|zsh/vendor-completions|') | sort > files
(cd "$work/root/usr" && find . -type f) | sort | diff files -
echo "installed, and as $(basename "$package"), $(du -h "$package" | cut -f1)"
