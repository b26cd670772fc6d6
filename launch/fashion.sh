#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fashion-MNIST (60,000 and 10,000 grey pictures of 28 x 28 in ten classes; Xiao, Rasul and Vollgraf 2017;
# MIT licence) as files that a training reads. Installs Debian's dataset-fashion-mnist where it is missing.
#   launch/fashion.sh [FOLDER]
#     data/fashion-train.idx  data/fashion-train-labels.idx  data/fashion-eval.idx  data/fashion-eval-labels.idx
#   FOLDER: where the dataset's four .gz files are, if they came another way. What is in data/ stays.
here=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

(($# <= 1)) || die "usage: launch/fashion.sh [FOLDER]"
folder=${1:-/usr/share/datasets/fashion-mnist}
[[ $folder == /* ]] || folder=$here/$folder

# unpack NAME FILE BYTES: data/FILE, of so many bytes, from FOLDER/NAME.gz.
unpack() {
  local from=$folder/$1.gz to=data/$2 bytes=$3
  if [[ -e $to ]]; then
    [[ $(stat -c %s "$to") == "$bytes" ]] ||
      die "$to: expected $bytes bytes, found $(stat -c %s "$to"); remove it to make it anew"
    return
  fi
  [[ -f $from ]] || die "$from is not there: install Debian's dataset-fashion-mnist, or name the folder with the four .gz files"
  say "writing $to"
  gunzip -c "$from" > "$to.part" || die "$from: gunzip failed"
  [[ $(stat -c %s "$to.part") == "$bytes" ]] ||
    die "$from: expected $bytes bytes when unpacked, found $(stat -c %s "$to.part")"
  mv "$to.part" "$to"
}

mkdir -p data
trap 'rm -f data/fashion-*.idx.part' EXIT
missing=no
for name in train train-labels eval eval-labels; do
  [[ -e data/fashion-$name.idx ]] || missing=yes
done
if (($# == 0)) && [[ $missing == yes && ! -d $folder && $in_sources == yes ]]; then
  launch/setup.sh --fashion
fi
unpack train-images-idx3-ubyte fashion-train.idx 47040016
unpack train-labels-idx1-ubyte fashion-train-labels.idx 60008
unpack t10k-images-idx3-ubyte fashion-eval.idx 7840016
unpack t10k-labels-idx1-ubyte fashion-eval-labels.idx 10008
