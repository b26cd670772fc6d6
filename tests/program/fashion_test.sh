#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# launch/fashion.sh, in a copy of the tree's scripts: on made-up files of the right sizes and wrong ones, and
# on Debian's where they are installed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/from here"
cp -r "$root/launch" "$work/tree/"
touch "$work/tree/CMakeLists.txt"
data=$work/tree/data
cd "$work"

declare -A bytes=([train-images-idx3-ubyte]=47040016 [train-labels-idx1-ubyte]=60008
  [t10k-images-idx3-ubyte]=7840016 [t10k-labels-idx1-ubyte]=10008)
for name in "${!bytes[@]}"; do
  { echo "$name"; head -c "${bytes[$name]}" /dev/zero; } | head -c "${bytes[$name]}" | gzip -1 \
    > "from here/$name.gz"
done
fashion() { "$work/tree/launch/fashion.sh" "$@" > "$work/log" 2>&1; }
refuses() {  # TEXT ARGUMENT...
  local text=$1
  shift
  ! fashion "$@" || { echo "accepted: $text"; exit 1; }
  grep -qF -- "$text" "$work/log" || { echo "expected: $text"; cat "$work/log"; exit 1; }
}

refuses "no such folder/train-images-idx3-ubyte.gz is not there: install Debian's dataset-fashion-mnist" "no such folder"
refuses "usage: launch/fashion.sh [FOLDER]" a b

# A file that is too short, or no gzip's, leaves nothing under its name.
mv "from here/t10k-labels-idx1-ubyte.gz" kept
echo short | gzip > "from here/t10k-labels-idx1-ubyte.gz"
refuses "t10k-labels-idx1-ubyte.gz: expected 10008 bytes when unpacked, found 6" "from here"
echo none > "from here/t10k-labels-idx1-ubyte.gz"
refuses "t10k-labels-idx1-ubyte.gz: gunzip failed" "from here"
[[ -s $data/fashion-train.idx && -z $(find "$data" -name '*eval-labels*' -o -name '*.part') ]]
mv kept "from here/t10k-labels-idx1-ubyte.gz"

# What is there stays; what is missing comes.
touch -d 2001-01-01 "$data/fashion-train.idx"
fashion "from here" || { cat log; exit 1; }
[[ $(grep -c '^== writing' log) == 1 && $(stat -c %y "$data/fashion-train.idx") == 2001-01-01* ]]
for pair in train:train-images-idx3 train-labels:train-labels-idx1 eval:t10k-images-idx3 \
  eval-labels:t10k-labels-idx1; do
  gunzip -c "from here/${pair#*:}-ubyte.gz" | cmp - "$data/fashion-${pair%%:*}.idx"
done
fashion || { cat log; exit 1; }
[[ ! -s log ]] || { cat log; exit 1; }
echo more >> "$data/fashion-eval.idx"
refuses "data/fashion-eval.idx: expected 7840016 bytes, found 7840021; remove it to make it anew"

if [[ ! -d /usr/share/datasets/fashion-mnist ]]; then
  echo "made-up files alone: dataset-fashion-mnist is not installed"
  exit 0
fi
rm -r "$data"
fashion || { cat log; exit 1; }
head -c 16 "$data/fashion-train.idx" | cmp - <(printf '\0\0\10\3\0\0\352\140\0\0\0\34\0\0\0\34')
head -c 8 "$data/fashion-eval-labels.idx" | cmp - <(printf '\0\0\10\1\0\0\47\20')
