# SPDX-License-Identifier: Apache-2.0
"""Exported folders in Hugging Face's transformers and tokenizers, and GGUF in llama.cpp.

  python tests/peers/export_check.py --program build/trunkline --text data/kjv.txt --scratch DIR

Trains a small model of every kind that can be exported. transformers must load the folder without
a tensor missing or left over, give the same loss as `trunkline eval` and the logits of the twin in
torch_model.py, and continue a prompt with the same 64 tokens as `trunkline generate`. Tokenizers
must give the same ids. Where llama_cpp is installed, the GGUF must give the same 64 tokens.
"""

import argparse
import os
import re

import torch
import transformers

import torch_model
from command import run

LENGTH = 128
PROMPT = "And God said unto "
KINDS = {
    "llama": [],
    "llama3": ["model.tie_embeddings=false", "model.rope_theta=500000.0",
               "model.rope_scaling.factor=8.0", "model.rope_scaling.original_context=32"],
    "qwen2": ["model.qkv_bias=true"],
    "qwen3": ["model.qk_norm=true", "model.head_dim=48"],
    "mistral": ["model.sliding_window=11", "model.tie_embeddings=false"],
}
# What the twin calls these settings.
TWIN = dict(layers=2, heads=4, kv_heads=2, head_dim=32, tied=True, theta=1e4, scaling=None,
            eps=1e-5, qkv_bias=False, qk_norm=False, window=0)
TWINS = {
    "llama": {},
    "llama3": dict(tied=False, theta=5e5, scaling=dict(factor=8.0, low=1.0, high=4.0, context=32)),
    "qwen2": dict(qkv_bias=True),
    "qwen3": dict(qk_norm=True, head_dim=48),
    "mistral": dict(window=11, tied=False),
}


def greedy(model, ids, count):
    for _ in range(count):
        logits = model(torch.tensor([ids])).logits[0, -1]
        ids = ids + [int(logits.argmax())]
    return ids


def check_kind(kind, program, scratch):
    folder, hf = f"{scratch}/{kind}", f"{scratch}/{kind}-hf"
    settings = [f"--set={s}" for s in KINDS[kind]]
    run(program, "train", "configs/tiny.toml", f"--set=run.dir={folder}",
        f"--set=data.train={scratch}/train.tok", f"--set=data.eval={scratch}/eval.tok",
        "--set=train.eval_batches=0", f"--set=train.sequence_length={LENGTH}", *settings)
    run(program, "export", folder, "--format", "hf", "--dtype", "fp32", "--shard-mb", "1", "--out",
        hf)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        hf, dtype=torch.float32, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[what], f"{kind}: {what}: {info[what]}"
    model.eval()

    text = open(f"{scratch}/eval.txt", "rb").read()
    windows = torch.tensor(list(text[:len(text) // LENGTH * LENGTH])).view(-1, LENGTH)
    targets = torch.tensor(list(text[1:len(text) // LENGTH * LENGTH + 1])).view(-1, LENGTH)
    with torch.no_grad():
        logits = model(windows).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
        imported = f"{scratch}/{kind}-back"
        run(program, "import", hf, "--out", imported)
        weights = torch_model.load_safetensors(f"{imported}/weights.safetensors")
        twin = torch_model.logits(TWIN | TWINS[kind], weights, windows, torch.arange(LENGTH),
                                  torch.zeros(LENGTH))
    away = (logits - twin).abs().max().item()
    said = run(program, "eval", folder).decode()
    ours = float(re.search(r"eval_loss ([0-9.]+) over (\d+)", said).group(1))
    assert int(re.search(r"over (\d+)", said).group(1)) == targets.numel(), said
    assert abs(loss - ours) < 1e-5, f"{kind}: loss {ours} here, {loss} in transformers"
    assert away < 1e-4, f"{kind}: logits {away} away"

    prompt = list(PROMPT.encode())
    count = 64
    text = run(program, "generate", folder, "--prompt", PROMPT, "--max-tokens", str(count),
               "--temperature", "0")
    with torch.no_grad():
        expected = bytes(greedy(model, prompt, count))
    assert text.rstrip(b"\n") == expected.rstrip(b"\n"), f"{kind}: {text} here, {expected} there"
    tokenizer = transformers.AutoTokenizer.from_pretrained(hf)
    sample = "In the beginning,\n\tGod's  caf\u00e9 \u4e2d\U0001f600 12345"
    ids = tokenizer(sample, add_special_tokens=False).input_ids
    assert ids == list(sample.encode()), f"{kind}: tokenizer"
    assert tokenizer.decode(ids) == sample, f"{kind}: decoding"
    print(f"{kind:8s} loss {ours:.6f} against {loss:.6f}; logits within {away:.1e}; "
          f"{count} greedy tokens and the tokenizer equal")
    check_gguf(kind, program, folder, f"{scratch}/{kind}-gguf", prompt, expected, logits, windows)


def check_gguf(kind, program, folder, out, prompt, expected, logits, windows):
    try:
        import llama_cpp
    except ImportError:
        print(f"{kind:8s} llama.cpp: not compared, there is no llama-cpp-python")
        return
    if kind == "mistral":
        return  # refused; the unit tests see to that
    run(program, "export", folder, "--format", "gguf", "--dtype", "fp32", "--out", out)
    llama = llama_cpp.Llama(f"{out}/model.gguf", n_ctx=LENGTH, logits_all=True, verbose=False,
                            type_k=0, type_v=0)
    llama.eval(windows[0].tolist())
    theirs = torch.tensor(llama.scores[:LENGTH])
    away = (theirs - logits[0]).abs().max().item()
    assert llama.tokenize(b"And  God's 12", add_bos=False) == list(b"And  God's 12"), kind
    llama.reset()
    ids = list(prompt)
    llama.eval(ids)
    for _ in range(len(expected) - len(prompt)):
        ids.append(int(torch.tensor(llama.scores[len(ids) - 1]).argmax()))
        llama.eval(ids[-1:])
    assert bytes(ids) == expected, f"{kind}: {bytes(ids)} in llama.cpp, {expected} expected"
    assert away < 1e-3, f"{kind}: llama.cpp's logits are {away} away"
    print(f"{kind:8s} llama.cpp: logits within {away:.1e}, greedy tokens equal")


def check_sentencepiece(program, scratch, text):
    """A SentencePiece model in tokenizers, against the library itself."""
    import sentencepiece
    import tokenizers
    model = f"{scratch}/words.model"
    run(program, "tokenize", "--tokenizer", model, "--train-vocab", "800", "--out",
        f"{scratch}/words.tok", f"{scratch}/train.txt")
    folder = f"{scratch}/words"
    run(program, "train", "configs/tiny.toml", f"--set=run.dir={folder}", "--set=model.vocab=800",
        f"--set=data.train={scratch}/words.tok", "--set=data.eval=[]", "--set=train.steps=1",
        "--set=optimizer.warmup_steps=0")
    run(program, "export", folder, "--out", f"{scratch}/words-hf")
    ours = sentencepiece.SentencePieceProcessor(model_file=model)
    theirs = tokenizers.Tokenizer.from_file(f"{scratch}/words-hf/tokenizer.json")
    samples = text.splitlines(keepends=True)[:2000] + [
        text[:20000], " two  spaces ", "caf\u00e9 \u4e2d\U0001f600\r\n\t x", "12345 a1b2", ""]
    for sample in samples:
        ids = theirs.encode(sample).ids
        assert ids == ours.encode(sample), f"{sample!r}: {ids} against {ours.encode(sample)}"
        assert theirs.decode(ids) == sample, f"{sample!r} decodes to {theirs.decode(ids)!r}"
    loaded = transformers.AutoTokenizer.from_pretrained(f"{scratch}/words-hf")
    assert loaded(samples[3]).input_ids == ours.encode(samples[3])
    print(f"SentencePiece: {len(samples)} texts encoded alike")


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "text", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    torch.manual_seed(1)
    os.makedirs(args.scratch, exist_ok=True)
    text = open(args.text, encoding="utf-8").read()
    open(f"{args.scratch}/train.txt", "w").write(text[:1 << 19])
    # Windows of LENGTH tokens, in whole micro-batches, and the last one's last target.
    open(f"{args.scratch}/eval.txt", "w").write(text[1 << 20:(1 << 20) + 8 * LENGTH + 1])
    for name in ("train", "eval"):
        run(args.program, "tokenize", "--tokenizer", "bytes", "--out", f"{args.scratch}/{name}.tok",
            f"{args.scratch}/{name}.txt")
    for kind in KINDS:
        check_kind(kind, args.program, args.scratch)
    check_sentencepiece(args.program, args.scratch, text)


if __name__ == "__main__":
    main()
