#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The accepted length (tau) as training and `trunkline eval` count it, beside the decoder's, on one set of
prefixes: every fifth place of texts that the model itself continued greedily, so that each token is
the trunk's own. eval reads the texts; the decoder drafts and verifies once after each prefix.

  tests/experiments/live_tau.py RUN [--program build/trunkline] [--text data/kjv.txt] [--texts 40]
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import tempfile

START, LENGTH, DRAFTS = 24, 240, 4


def read(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def records(*command):
    return [json.loads(line) for line in read(*command).splitlines()]


def tau(alphas):
    total = product = 1.0
    for alpha in alphas:
        product *= alpha
        total += product
    return total


def show(name, alphas, count):
    print(f"{name}: tau {tau(alphas):.3f}, acceptance "
          f"{' '.join(f'{alpha:.3f}' for alpha in alphas)} ({count})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run")
    parser.add_argument("--program", default="build/trunkline")
    parser.add_argument("--text", default="data/kjv.txt")
    parser.add_argument("--texts", type=int, default=40)
    args = parser.parse_args()
    objective = pathlib.Path(args.run, "config.toml").read_text().split("[objective]")[1]
    module = re.search(r'name = "(\w+)"', objective)[1] == "sequential_mtp"
    drafter = ["mtp"] if module else ["heads", "--tree", "chain"]

    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)

        def decode(lines, tokens, *more):
            (folder / "prompts").write_text("\n".join(lines) + "\n")
            return records(args.program, "generate", args.run, "--prompts-from",
                           str(folder / "prompts"), "--max-tokens", str(tokens), "--temperature",
                           "0", "--batch", "16", "--json", *more)

        # Held-out beginnings; only texts of one line, as prompts are lines.
        held_out = pathlib.Path(args.text).read_text()
        held_out = held_out[len(held_out) * 9 // 10:].splitlines()[1:]
        starts = [line[:START] for line in held_out if len(line) >= 60]
        starts = starts[::max(1, len(starts) // (4 * args.texts))]
        written = [r["prompt"] + r["text"] for r in decode(starts, LENGTH - START)]
        texts = [t for t in written if "\n" not in t and len(t) == LENGTH][:args.texts]

        hits, reached = {}, {}
        for text in texts:
            (folder / "text").write_text(text)
            tokens = str(folder / "text.tok")
            read(args.program, "tokenize", "--tokenizer", "bytes", "--out", tokens,
                 str(folder / "text"))
            table = read(args.program, "eval", args.run, "--data", tokens, "--set",
                         f"train.sequence_length={LENGTH - 1}")
            pathlib.Path(tokens).unlink()
            for head, alpha, count in re.findall(
                    r"^token_(\d+)(?:\s+\S+){3}\s+(\S+) of (\d+)", table, re.M):
                hits[head] = hits.get(head, 0.0) + float(alpha) * int(count)
                reached[head] = reached.get(head, 0) + int(count)
        heads = sorted(hits, key=int)[:DRAFTS]
        show("eval", [hits[h] / reached[h] for h in heads], f"{len(texts)} texts")

        prefixes = [text[:end] for text in texts for end in range(40, LENGTH - 10, 5)]
        random.Random(1).shuffle(prefixes)
        first = {}
        for r in decode(prefixes, len(heads) + 2, "--stream", "--drafts", str(len(heads)),
                        "--speculate", *drafter):
            if r["record"] == "pass" and r["pass"] <= first.get(r["sequence"], r)["pass"]:
                first[r["sequence"]] = r
        taken = [r["accepted"] for r in first.values() if r["drafted"] == len(heads)]
        at_least = [sum(n >= k for n in taken) for k in range(len(heads) + 1)]
        show("decoder", [b / a for a, b in zip(at_least, at_least[1:])], f"{len(taken)} prefixes")


if __name__ == "__main__":
    main()
