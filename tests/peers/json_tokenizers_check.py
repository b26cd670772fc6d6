#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
r"""Compares what Trunkline makes of tokenizer.json files, ids and their text, with PyPI's `tokenizers`.

  tests/peers/json_tokenizers_check.py --bench build/tests/tokenizer_bench --text FILE [JSON ...]

On a text file and on made-up texts of mixed scripts, some of them broken UTF-8, until --tokens
have been compared with each kind of json_tokenizers.py, and with the files given.

  tests/peers/json_tokenizers_check.py --golden tests/fuzz/tokenizer_json \\
      tests/data/golden/json_tokenizers.ids.json
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

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402

import json_tokenizers  # noqa: E402
from tokenizers_check import AWKWARD  # noqa: E402

RANGES = [(0x20, 0x7F)] * 6 + [(0xA0, 0x250), (0x370, 0x400), (0x400, 0x480), (0x5D0, 0x5EB),
                               (0x620, 0x66A), (0x904, 0x970), (0xE01, 0xE3B), (0x1100, 0x1200),
                               (0x1E00, 0x1F00), (0x2000, 0x2070), (0x2150, 0x2190),
                               (0x3000, 0x3100), (0x4E00, 0x5200), (0xAC00, 0xAF00),
                               (0xFB00, 0xFB07), (0xFF01, 0xFF61), (0x1D400, 0x1D450),
                               (0x1F300, 0x1F650)]
BITS = [" ", "  ", "\n", "\n\n", "\t", "\r\n", " \n ", "word", " word ", "sword", "<norm>", "<left>",
        "<right>", "<both>", "<one>", "<unk>", "<s>", "</s>", "<0x41>", "\u2581", "\u2581\u2581",
        "\u0301", "\u0300\u0323", "e\u0301", "Ünï", "\u00a0", "\u00a8", "\ufb01", "\u3000",
        "\u200d", "\u00ad", "\ufeff", "\ufffd", "the ", " and", "\u0130", "'s", "1234", "\x00",
        "\x01", "\x7f", "\u0600"]


def made_up(count, seed, pieces):
    """Texts of runs of characters of one script, with what tokenizers trip over between them."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(1, pieces)):
            if rng.random() < 0.4:
                parts.append(rng.choice(BITS))
            else:
                low, high = rng.choice(RANGES)
                parts.append("".join(chr(rng.randrange(low, high))
                                     for _ in range(rng.randrange(1, 8))))
        text = "".join(parts).encode("utf-8", "replace")
        if rng.random() < 0.05:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + bytes([rng.randrange(0x80, 0x100)]) + text[at + rng.randrange(2):]
        texts.append(text)
    return texts


def ours(bench, definition, texts, folder):
    source, out = os.path.join(folder, "texts"), os.path.join(folder, "out")
    with open(source, "wb") as f:
        for text in texts:
            f.write(struct.pack("<I", len(text)) + text)
    run = subprocess.run([bench, definition, source, out], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{definition}: {run.stdout}{run.stderr}")
    with open(out, "rb") as f:
        data = f.read()
    at, results = 0, []
    for _ in texts:
        count, = struct.unpack_from("<i", data, at)
        at += 4
        if count < 0:
            results.append((None, struct.unpack_from("<i", data, at)[0]))
            at += 4
            continue
        ids = list(struct.unpack_from(f"<{count}i", data, at))
        size, = struct.unpack_from("<I", data, at + 4 * count)
        at += 4 * count + 4
        results.append((ids, data[at:at + size]))
        at += size
    return results, run.stdout.strip()


def compare(bench, definition, texts, folder, label):
    theirs = Tokenizer.from_file(definition)
    found, figures = ours(bench, definition, texts, folder)
    wrong = tokens = 0
    seconds = 0.0
    for text, (ids, decoded) in zip(texts, found):
        try:
            valid = text.decode("utf-8")
        except UnicodeDecodeError as e:
            wrong += ids is not None or decoded != e.start
            continue
        start = time.perf_counter()
        expected = theirs.encode(valid, add_special_tokens=False).ids
        seconds += time.perf_counter() - start
        tokens += len(expected)
        if ids != expected:
            at = next((i for i, (a, b) in enumerate(zip(expected, ids or [])) if a != b),
                      min(len(expected), len(ids or [])))
            wrong += 1
            if wrong < 5:
                print(f"DIFFERS at token {at}: {[theirs.id_to_token(i) for i in expected[at:at + 5]]}"
                      f", found {[theirs.id_to_token(i) for i in (ids or [])[at:at + 5]]}: "
                      f"{valid[:200]!r}")
        else:
            # Byte-level text may end inside a character, which tokenizers replaces.
            back = theirs.decode(expected, skip_special_tokens=False)
            if decoded.decode("utf-8", "replace") != back:
                wrong += 1
                if wrong < 5:
                    print(f"DECODES to {decoded[:200]!r} instead of {back[:200]!r}")
    size = sum(map(len, texts))
    print(f"{label}: {len(texts)} texts, {tokens} tokens, {wrong} differ; tokenizers "
          f"{size / 1e6 / max(seconds, 1e-9):.1f} MB/s; {figures}", flush=True)
    return wrong, tokens


GOLDEN = ["the word of it", " a  b   c ", "a<s>b</s> word <s>\n\nword", "swords word, word.",
          "x <left>y <right> z<both> w <one> v", "<norm>a Ünï\u2581b", "caf\u0301é \u00a8 \ufb01",
          "\x01\x01a\u00adb\x00", "字\U0001f600字 12 345", "\u0130I ı\tÀ\r\n ", "\u1fed\u0323a", "<unk>ab<unk>",
          "\ufffd\xa0 \u3000the"]


def write_golden(definitions, out):
    """What tokenizers makes of a few texts with each of the folder's files."""
    texts = GOLDEN + [t.decode("utf-8", "replace") for t in made_up(8, 7, 5)]
    kinds = {}
    for name in json_tokenizers.NAMES:
        theirs = Tokenizer.from_file(os.path.join(definitions, f"{name}.json"))
        ids = [theirs.encode(t, add_special_tokens=False).ids for t in texts]
        kinds[name] = {"ids": ids,
                       "back": [theirs.decode(i, skip_special_tokens=False) for i in ids]}
    with open(out, "w", encoding="utf-8") as f:
        json.dump({"texts": texts, "kinds": kinds}, f, separators=(",", ":"))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/tests/tokenizer_bench")
    parser.add_argument("--text", default="data/kjv.txt")
    parser.add_argument("--vocab", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=3000000)
    parser.add_argument("--golden", nargs=2, metavar=("FOLDER", "OUT"),
                        help="write what tests/data/tokenizer_json_test.cc expects, and stop")
    parser.add_argument("--only", nargs="*", help="of the kinds of json_tokenizers.py")
    parser.add_argument("more", nargs="*", help="further tokenizer.json files to compare")
    args = parser.parse_args()
    if args.golden:
        write_golden(*args.golden)
        return 0
    with open(args.text, encoding="utf-8") as f:
        text = f.read()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus")
        with open(corpus, "w", encoding="utf-8") as f:
            f.write(text + "\n".join(AWKWARD) * 20)
        names = json_tokenizers.NAMES if args.only is None else args.only
        definitions = [json_tokenizers.build(n, [corpus], args.vocab,
                                             os.path.join(folder, f"{n}.json")) for n in names]
        for definition in definitions + args.more:
            name = os.path.basename(definition)
            differ, tokens = compare(args.bench, definition, [text.encode()], folder,
                                     f"{name} on the text")
            wrong += differ
            texts, seed = [a.encode() for a in AWKWARD], 1
            while tokens < args.tokens:
                texts += made_up(4000, seed, 60)
                differ, more = compare(args.bench, definition, texts, folder, name)
                wrong += differ
                tokens += more
                texts, seed = [], seed + 1
    print("FAIL" if wrong else "equal")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
