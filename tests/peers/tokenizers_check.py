#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares our byte-level BPE with PyPI's `tokenizers`, id by id.

Trains a tokenizer with each of the pre-tokenizers that GPT-2, Llama 3 and Qwen ship on a text, and
encodes that text and a page of awkward ones with both. Needs `pip install tokenizers`.

  tests/peers/tokenizers_check.py --program build/trunkline --text kjv.txt [TOKENIZER.json ...]

Further tokenizer.json files are compared as they are. --golden DIR writes the small files that
tests/data/tokenizer_bpe_test.cc reads.
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

AWKWARD = [
    "",
    " ",
    "  two  spaces   three    four ",
    "\n", "\n\n\n", "a\n b\n\n  c\r\n\r\nd\te\t\tf  \n  ",
    "I'm you're HE'S we'LL they'd it'ſ 'S 'ss ''s can't I'VE o'clock",
    "1 12 123 1234 12345678 3.14159 1,000,000 ٣٤٥ ²³ Ⅷ ½ 二十",
    "naïve café crème — “quotes” … Straße ÅNGSTRÖM ﬁne",
    "cafe\u0301 A\u030angstro\u0308m \u1100\u1161\u11a8 \u212b \u0958 n\u0303o",
    "你好，世界。這是一個測試！日本語のテキスト、ひらがなとカタカナ。한국어 문장입니다.",
    "Привет, мир! Ελληνικά κείμενο. שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก",
    "👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 😀😃😄 ☃︎ ♥️",
    "a\u00a0b\u2003c\u3000d\u200be\u180ef\u0085g\u2028h\ufeffi\u202fj",
    "x = {'a': [1, 2], \"b\": (3,)}; if (x != y) { return -1; } // done\n\t\tfoo_bar->baz += 0xFF;",
    "<|endoftext|>", "a<|endoftext|>b <|endoftext|> <|endoftext|><|endoftext|>\n<|im_start|>user",
    "<|endoftext <|endoftext|", "word<sep>word <sep> word  <sep>  word",
    "x" * 500 + " " * 300 + "!" * 200 + "\n" * 50 + "字" * 200,
    "\u0000\u0001\u007f control \u001b[0m",
    "ſ K İ ı ß ẞ ǅ ʰ ⒶⒷ 𝒳𝟘 𐍈",
]


def tokenizer(name, files, vocab):
    t = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel
    if name == "gpt2":
        t.pre_tokenizer = byte_level(add_prefix_space=False)
    elif name == "gpt2-prefix":
        t.pre_tokenizer = byte_level(add_prefix_space=True)
    elif name in ("llama3", "qwen2"):
        pattern = LLAMA3 if name == "llama3" else QWEN2
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            byte_level(add_prefix_space=False, use_regex=False)])
    elif name == "digits":
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), byte_level(add_prefix_space=False)])
    if name == "qwen2":
        t.normalizer = normalizers.NFC()
    t.decoder = decoders.ByteLevel()
    t.train(files, trainers.BpeTrainer(vocab_size=vocab, show_progress=False,
                                       special_tokens=["<|endoftext|>", "<|im_start|>"],
                                       initial_alphabet=byte_level.alphabet()))
    if name == "digits":
        t.add_tokens([AddedToken("<sep>", lstrip=True, rstrip=True, normalized=False),
                      AddedToken("word", single_word=True), AddedToken("café")])
    return t


def variants(path):
    """The same tokenizer with merges as strings, as older files have them, and ignore_merges."""
    with open(path, encoding="utf-8") as f:
        root = json.load(f)
    root["model"]["merges"] = [m if isinstance(m, str) else " ".join(m)
                               for m in root["model"]["merges"]]
    root["model"]["ignore_merges"] = True
    # Words that are tokens but that no merge makes, as in Llama 3.
    root["model"]["merges"] = [m for i, m in enumerate(root["model"]["merges"]) if i % 7 != 3]
    made = set(m.replace(" ", "") for m in root["model"]["merges"])
    keep = []
    for m in root["model"]["merges"]:
        a, b = m.split(" ")
        if (len(a) == 1 or a in made) and (len(b) == 1 or b in made):
            keep.append(m)
    root["model"]["merges"] = keep
    other = path.replace(".json", "-ignore-merges.json")
    with open(other, "w", encoding="utf-8") as f:
        json.dump(root, f, ensure_ascii=False)
    return other


def read_tokens(path):
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"TLTOKENS", path
    tokens, = struct.unpack_from("<Q", data, 24)
    width, = struct.unpack_from("<I", data, 56)
    return list(memoryview(data[128:128 + tokens * width]).cast({1: "B", 2: "H", 4: "I"}[width]))


def ours(program, definition, text, folder):
    source, out = os.path.join(folder, "text"), os.path.join(folder, "tokens")
    with open(source, "wb") as f:
        f.write(text.encode("utf-8"))
    start = time.time()
    subprocess.run([program, "tokenize", "--tokenizer", definition, "--out", out, source],
                   check=True, capture_output=True, text=True)
    return read_tokens(out), time.time() - start


def compare(program, definition, texts, folder):
    theirs = Tokenizer.from_file(definition)
    wrong = 0
    seconds = [0.0, 0.0]
    tokens = 0
    for text in texts:
        if not text:
            continue
        start = time.time()
        expected = theirs.encode(text, add_special_tokens=False).ids
        seconds[0] += time.time() - start
        found, took = ours(program, definition, text, folder)
        seconds[1] += took
        tokens += len(expected)
        # A document ends in the tokenizer's end token, where it has one.
        if found != expected and found[:-1] != expected:
            wrong += 1
            at = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b),
                      min(len(expected), len(found)))
            print(f"DIFFERS at token {at}: expected {expected[at:at + 5]}, found "
                  f"{found[at:at + 5]}: {theirs.decode(expected[max(0, at - 3):at + 3])!r}")
    print(f"{os.path.basename(definition)}: {len(texts)} texts, {tokens} tokens, {wrong} differ; "
          f"tokenizers {seconds[0]:.2f} s, ours {seconds[1]:.2f} s with loading")
    return wrong


def fuzz(count):
    """Random strings of characters that patterns and normalizers tell apart."""
    rng = random.Random(1)
    alphabet = list("aZé' \n\r\t19.,!_-") + ["'s", "'LL", "\u0301", "\u00a0", "字", "😀", "\u3000",
                                             "٣", "²", "\u200d", "word", "<sep>", "<|endoftext|>"]
    return ["".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 60)))
            for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/trunkline")
    parser.add_argument("--text", required=True)
    parser.add_argument("--vocab", type=int, default=2000)
    parser.add_argument("--golden", help="write the committed golden files there, and stop")
    parser.add_argument("more", nargs="*", help="further tokenizer.json files to compare")
    args = parser.parse_args()
    with open(args.text, encoding="utf-8") as f:
        text = f.read()
    names = ["gpt2", "llama3", "qwen2", "digits", "gpt2-prefix"]
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus")
        with open(corpus, "w", encoding="utf-8") as f:
            f.write(text + "\n".join(AWKWARD) * 20)
        definitions = []
        for name in names:
            definitions.append(os.path.join(args.golden or folder, f"{name}.json"))
            tokenizer(name, [corpus], 400 if args.golden else args.vocab).save(definitions[-1],
                                                                              pretty=False)
        definitions.append(variants(definitions[1]))
        if args.golden:
            for d in definitions:
                t = Tokenizer.from_file(d)
                cases = [{"text": s, "ids": t.encode(s, add_special_tokens=False).ids}
                         for s in AWKWARD + fuzz(20)]
                with open(d.replace(".json", ".ids.json"), "w", encoding="utf-8") as f:
                    json.dump(cases, f, ensure_ascii=True, separators=(",", ":"))
            return 0
        # One file of many lines tests streaming, the awkward ones each by itself the edges.
        texts = [text, text + "".join(AWKWARD) * 300, "\n".join(fuzz(20000))]
        texts += AWKWARD + fuzz(100)
        wrong = sum(compare(args.program, d, texts, folder) for d in definitions + args.more)
    print("FAIL" if wrong else "equal")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
