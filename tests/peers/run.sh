#!/bin/bash
# Every comparison with an independent implementation; launch/test.sh --peers makes the
# environment (.venv) and the program, and calls this.
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

python=.venv/bin/python
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/golden" "$scratch/heads"
make_kjv_text

say "tokenizers"
$python tests/peers/tokenizers_check.py --program build/trunkline --text data/kjv.txt
$python tests/peers/json_tokenizers_check.py --bench build/tests/tokenizer_bench --text data/kjv.txt

say "TensorBoard"
build/trunkline tokenize --tokenizer bytes --out "$scratch/train.tok" data/kjv.txt
build/trunkline train configs/tiny.toml --set run.dir="$scratch/run" \
  --set data.train="$scratch/train.tok" --set data.eval="$scratch/train.tok"
$python tests/peers/tensorboard_check.py "$scratch/run"

say "checkpoints in h5py"
launch_mpi 4 build/trunkline train configs/tiny.toml --set run.dir="$scratch/grid" \
  parallel.tensor=2 train.steps=5 data.train="$scratch/train.tok" data.eval=[]
$python tests/peers/checkpoint_check.py "$scratch/grid/step_00000005"

say "losses and gradients against PyTorch"
TL_GOLDEN_DUMP="$scratch/golden" build/tests/engine_golden_test --gtest_brief=1
$python tests/peers/torch_model.py "$scratch/golden"

say "exported models in transformers and tokenizers"
$python tests/peers/export_check.py --program build/trunkline --text data/kjv.txt \
  --scratch "$scratch/export"

say "folders as people have them, in transformers"
$python tests/peers/folder_variants_check.py --program build/trunkline --scratch "$scratch/folders"

say "exported heads as their engines define them"
TL_HEADS_DUMP="$scratch/heads" build/tests/convert_head_logits_test --gtest_brief=1
$python tests/peers/heads_check.py "$scratch/heads"

say "SmolLM2 in transformers and llama.cpp"
$python tests/peers/smollm2_check.py --program build/trunkline --text data/kjv.txt \
  --scratch "$scratch/smollm2"
