#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every comparison with an independent implementation; launch/test.sh --peers makes the
# environment (.venv) and the program, and calls this.
#   tests/peers/run.sh                     all, tokenizers last: they take longest
#   tests/peers/run.sh exports folders     these alone
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

python=.venv/bin/python
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
with_text=(--program build/trunkline --text data/kjv.txt)

# The bytes of the text as tokens, made once.
bytes_tokens() {
  [[ -e $scratch/train.tok ]] ||
    build/trunkline tokenize --tokenizer bytes --out "$scratch/train.tok" data/kjv.txt
}

tensorboard() {
  say "TensorBoard"
  bytes_tokens
  build/trunkline train configs/tiny.toml --set run.dir="$scratch/run" \
    --set data.train="$scratch/train.tok" --set data.eval="$scratch/train.tok"
  $python tests/peers/tensorboard_check.py "$scratch/run"
}

checkpoints() {
  say "checkpoints in h5py"
  bytes_tokens
  launch_mpi 4 build/trunkline train configs/tiny.toml --set run.dir="$scratch/grid" \
    parallel.tensor=2 train.steps=5 data.train="$scratch/train.tok" data.eval=[]
  $python tests/peers/checkpoint_check.py "$scratch/grid/step_00000005"
}

gradients() {
  say "losses and gradients against PyTorch"
  mkdir "$scratch/golden"
  TL_GOLDEN_DUMP="$scratch/golden" build/tests/engine_tests --file=golden_test.cc --gtest_brief=1
  $python tests/peers/torch_model.py "$scratch/golden"
  $python tests/peers/torch_denoiser.py "$scratch/golden"
}

exports() {
  say "exported models in transformers and tokenizers"
  $python tests/peers/export_check.py "${with_text[@]}" --scratch "$scratch/export"
}

folders() {
  say "folders as people have them, in transformers"
  $python tests/peers/folder_variants_check.py --program build/trunkline \
    --scratch "$scratch/folders"
}

heads() {
  say "exported heads as their engines define them"
  mkdir "$scratch/heads"
  TL_HEADS_DUMP="$scratch/heads" build/tests/convert_tests --file=head_logits_test.cc \
    --gtest_brief=1
  $python tests/peers/heads_check.py "$scratch/heads"
}

denoisers() {
  say "exported denoisers, by their own module in PyTorch"
  $python tests/peers/denoiser_check.py --program build/trunkline --scratch "$scratch/denoisers"
}

# Figures alone: nothing depends on them.
denoise_speed() {
  say "training of denoisers beside compiled PyTorch"
  $python tests/peers/denoise_speed.py --program build/trunkline
}

smollm2() {
  say "SmolLM2 in transformers and llama.cpp"
  $python tests/peers/smollm2_check.py "${with_text[@]}" --scratch "$scratch/smollm2"
}

tokenizers() {
  say "tokenizers"
  $python tests/peers/tokenizers_check.py "${with_text[@]}"
  $python tests/peers/json_tokenizers_check.py --bench build/tests/tokenizer_bench \
    --text data/kjv.txt
}

parts=(tensorboard checkpoints gradients exports folders heads denoisers denoise_speed smollm2
  tokenizers)
for part in "$@"; do
  [[ " ${parts[*]} " == *" $part "* ]] || die "no part $part; there are ${parts[*]}"
done
make_kjv_text
for part in "${@:-${parts[@]}}"; do
  "$part"
done
