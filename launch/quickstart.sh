#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 or 13 to a trained model and its text: installs what is missing, builds, makes
# token files of the King James Bible, trains a small byte-level model on two ranks and lets it
# write. What is already done is not done again; remove checkpoints/quickstart to train anew.
#   launch/quickstart.sh [--set KEY=VALUE...]     other settings for the training
# Of an installed program it works in the folder where it is called, and installs and builds nothing.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

run=checkpoints/quickstart
config=$configs/quickstart.toml

if [[ $in_sources == yes ]]; then
  launch/setup.sh
  say "building"
  launch/build.sh
fi

make_kjv_text
if [[ ! data/kjv-train.tok -nt data/kjv.txt || ! data/kjv-eval.tok -nt data/kjv.txt ]]; then
  say "making token files, the last tenth held out"
  "$trunkline" tokenize --tokenizer bytes --out data/kjv-train.tok \
    --holdout 0.1 --holdout-out data/kjv-eval.tok data/kjv.txt
fi

# Goes on from a save where there is one, and does nothing where that is the last step's.
say "training on two ranks"
launch_mpi 2 "$trunkline" train "$config" "$@"

say "writing"
"$trunkline" generate "$run" --prompt "In the beginning" --max-tokens 200 --temperature 0.8
say "done; the model, metrics.jsonl and TensorBoard files are in $run"
