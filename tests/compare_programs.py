#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that two builds of the program do the same: for changes that must change nothing.

  tests/compare_programs.py OLD NEW [--only REGEX] [--keep DIR] [--ranks N]

OLD and NEW are programs (build/trunkline of two commits). Each case is a few commands; both programs
run them in folders of their own, with the same paths. Compared are exit codes, what is printed,
metrics, written texts and configs, exported files byte by byte, and every tensor of every checkpoint
(by OLD's `checkpoint diff`). Times, speeds, measured memory, versions and checksums of files that
hold a time are left out. Where a case says so, NEW goes on from OLD's checkpoint.
A difference is printed, and the exit code is 1.
"""
import argparse
import difflib
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

CONFIG = """[model]
layers = 2
hidden = 128
heads = 4
kv_heads = 2
ffn = 96
vocab = 256
[data]
train = "text.tok"
eval = "text.tok"
[train]
steps = 4
sequence_length = 32
global_batch_size = 8
micro_batch_size = 2
eval_every = 2
eval_batches = 1
[optimizer]
lr = 1e-3
warmup_steps = 1
[checkpoint]
every = 2
keep = 0
[run]
dir = "run"
threads = 1
"""

# What differs from run to run of one program: (pattern, replacement).
MEASURED = [(re.compile(pattern), text) for pattern, text in [
    (r"[0-9.]+(e[+-]?[0-9]+)?[kMGT]? ?(ns|us|ms|s|tok/s|FLOP/s|B/s)\b", "TIME"),
    (r" +TIME", " TIME"),
    (r" [0-9]+% of roof", " PART of roof"),
    (r"[0-9.]+ [KMG]iB of [0-9.]+ [KMG]iB", "MEMORY"),
    (r"ETA [0-9hms.]+", "ETA"),
    (r"0\.1\.0\+g[0-9a-f]+(-dirty)?", "VERSION"),
    (r"[0-9.]+ (of [0-9.]+ )?(tokens/s|tokens per second|texts/s)", "SPEED"),
    (r"[0-9.]+ (ns|us|ms|s|seconds|MB/s|GB/s)\b", "TIME"),
    (r"Process name: .*", "PROCESS"),
]]
MEASURED_KEYS = {"step_ms", "tokens_per_second", "tflops", "mfu", "memory_bytes", "program",
                 "crc32c", "rest_crc32c", "bytes", "seconds", "time", "files", "mtime"}


def normal_text(text):
    for pattern, replacement in MEASURED:
        text = pattern.sub(replacement, text)
    lines = [line.rstrip() for line in text.splitlines()]
    # mpirun's own words, and the roof, which is measured.
    return [line for line in lines if not line.startswith(("  roof ", "[", "-----"))]


def normal_json(value):
    if isinstance(value, dict):
        return {k: normal_json(v) for k, v in value.items()
                if k not in MEASURED_KEYS and not k.endswith(("_ms", "_seconds", "_per_second"))}
    if isinstance(value, list):
        return [normal_json(v) for v in value]
    return value


TRAIN = "train config.toml --set"
LAYOUTS = [  # ranks, settings
    (1, ""),
    (2, ""),
    (2, "parallel.tensor=2"),
    (4, "parallel.tensor=2 parallel.sequence=true"),
]
OBJECTIVES = {
    "next_token": "objective.name=next_token",
    "independent_heads": "objective.name=independent_heads objective.heads=3 "
                         "objective.curriculum=forward",
    "matched_heads": "objective.name=independent_heads objective.heads=2 "
                     "objective.match_parameters=true model.layers=3",
    "mtp": "objective.name=sequential_mtp objective.depth=2 objective.lambda=0.2",
    "mtp_shared": "objective.name=sequential_mtp objective.depth=2 objective.share_weights=true "
                  "objective.hidden=stream objective.detach_hidden=true "
                  "objective.detach_shared=true",
    "medusa": "objective.name=medusa objective.heads=2 objective.warmup_steps=2 "
              "objective.lr_scale=2",
}
VARIANTS = {
    "bf16": "precision.compute=bf16 model.tie_embeddings=false model.qkv_bias=true",
    "fp16": "precision.compute=fp16 model.qk_norm=true train.z_loss=1e-4",
    "selective": "train.recompute=selective train.hidden_dropout=0.1 data.pack_documents=true",
    "full": "train.recompute=full model.sliding_window=16 optimizer.schedule=wsd "
            "parallel.bucket_elements=10000 train.loss_chunk=16",
}


def cases(max_ranks):
    """Pairs of a name and commands: (ranks, arguments[, program that runs it in both folders])."""
    commands = "train eval generate calibrate export import tokenize verify checkpoint bench info"
    yield "help", [(1, "help"), (1, "help config")] + [
        (1, f"{command} --help") for command in commands.split()]
    for name, objective in OBJECTIVES.items():
        for ranks, layout in LAYOUTS:
            if ranks <= max_ranks:
                yield f"{name}-{ranks}-{layout.replace('parallel.', '').replace(' ', '-')}", [
                    (ranks, f"{TRAIN} {objective} {layout}")]
    for variant, settings in VARIANTS.items():
        for ranks, layout in (LAYOUTS[0], LAYOUTS[2]):
            if ranks <= max_ranks:
                yield f"{variant}-{ranks}", [
                    (ranks, f"{TRAIN} {OBJECTIVES['mtp']} {settings} {layout}")]
    for name in ("next_token", "mtp"):
        yield f"resume-{name}", [
            (1, f"{TRAIN} {OBJECTIVES[name]} run.stop_after=2", "old"),
            (1, f"{TRAIN} {OBJECTIVES[name]}"),
            (1, "checkpoint list run"), (1, "checkpoint inspect run"), (1, "verify run")]
    frozen = "objective.name=medusa objective.heads=2 objective.freeze_trunk=true " \
             "run.init_from=run run.dir=heads objective.distill=true"
    decode = "--max-tokens 24 --prompt The --set run.threads=1"
    yield "medusa", [
        (1, f"{TRAIN} train.steps=30", "old"),
        (1, f"{TRAIN} {frozen}"),
        (1, f"eval heads --data text.tok --batches 2 --set run.threads=1"),
        (1, f"generate heads {decode} --temperature 0"),
        (1, f"generate heads {decode} --speculate heads --tree 2x2"),
        (1, f"generate heads {decode} --speculate heads --verify typical --json"),
        (1, f"generate heads {decode} --speculate lookup --seed 3"),
        (1, f"generate heads {decode} --speculate early-exit --batch 2"),
        (1, "export heads --format medusa --out export_medusa"),
        (1, "export heads --format hf --trunk-only --out export_hf"),
        (1, "import export_hf --out imported"),
        (1, f"generate imported {decode}")]
    yield "mtp", [
        (1, f"{TRAIN} {OBJECTIVES['mtp']} objective.depth=1 train.steps=30", "old"),
        (1, f"generate run {decode} --speculate mtp --drafts 3"),
        (2, f"generate run {decode} --speculate mtp --verify rejection"),
        (1, "eval run --data text.tok --batches 2 --set run.threads=1"),
        (1, "export run --format mimo --out export_mimo"),
        (1, "export run --format gguf --trunk-only --out export_gguf"),
        (1, "checkpoint reshard run --out again --data 2 --tensor 2"),
        (1, "checkpoint diff run again")]
    bad = ["model.heads=3", "model.layers=0", "model.layer=2", "objective.name=medus",
           "objective.name=medusa", "objective.depth=2", "train.steps=x", "parallel.tensor=3",
           "precision.compute=int8", "objective.lambda=-1", "train.micro_batch_size=3",
           "optimizer.beta1=1", "run.init_from=nowhere", "objective.weights=[1,2]",
           "model.hidden=1000000 model.ffn=1000000", "checkpoint.time_limit=3x",
           "objective.name=sequential_mtp", "objective.heads=70000", "data.train=nothing.tok",
           "objective.name=independent_heads objective.heads=2 objective.weights=[1]"]
    yield "refusals", [(1, f"{TRAIN} {settings}") for settings in bad] + [
        (2, f"{TRAIN} model.layers=0"), (1, "eval nowhere"), (1, "export nowhere --out x"),
        (1, "generate nowhere --prompt a"), (1, "help nothing")]


def run(program, folder, ranks, arguments):
    command = [program] + arguments.split()
    if ranks > 1:
        command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)] + command
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive",
                       OMPI_MCA_hwloc_base_binding_policy="none", HWLOC_HIDE_ERRORS="2",
                       OMPI_MCA_odls_base_sigkill_timeout="0")
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=900, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


class Comparison:
    def __init__(self, name):
        self.name, self.failed, self.compared = name, False, 0

    def differ(self, what, old, new):
        self.failed = True
        print(f"{self.name}: {what} differs")
        for line in list(difflib.unified_diff(old, new, "old", "new", n=0, lineterm=""))[:20]:
            print("    " + line[:200])

    def lines(self, what, old, new):
        self.compared += 1
        if old != new:
            self.differ(what, old, new)

    def files(self, old_program, old_root, new_root):
        def paths(root):
            return sorted(os.path.relpath(os.path.join(at, f), root)
                          for at, _, files in os.walk(root) for f in files
                          if "tfevents" not in f
                          and f not in ("lock", "events.jsonl", "report.html"))
        self.lines("the list of files", paths(old_root), paths(new_root))
        checkpoints = set()
        for path in paths(old_root):
            old, new = os.path.join(old_root, path), os.path.join(new_root, path)
            if not os.path.exists(new):
                continue
            if path.endswith(".h5"):
                checkpoints.add(os.path.dirname(path))
            elif path.endswith((".json", ".jsonl")):
                def read(p):
                    with open(p, encoding="utf-8") as file:
                        text = file.read()
                    texts = text.splitlines() if p.endswith(".jsonl") else [text]
                    return [line for t in texts for line in json.dumps(
                        normal_json(json.loads(t)), indent=1).splitlines()]
                self.lines(path, read(old), read(new))
            else:
                self.compared += 1
                if not filecmp.cmp(old, new, shallow=False):
                    def text(p):
                        with open(p, "rb") as file:
                            return normal_text(file.read().decode(errors="replace"))
                    if text(old) != text(new):
                        self.differ(path, text(old), text(new))
        for path in sorted(checkpoints):
            self.compared += 1
            code, said = run(old_program, ".", 1, "checkpoint diff " + os.path.join(old_root, path)
                             + " " + os.path.join(new_root, path))
            if code != 0:
                self.differ(path, [], said.splitlines())


def compare(name, commands, old_program, new_program, scratch):
    comparison = Comparison(name)
    roots = []
    for side in ("old", "new"):
        # The same length: paths are printed.
        root = os.path.join(scratch, name, side)
        os.makedirs(root)
        shutil.copy(os.path.join(scratch, "text.tok"), root)
        with open(os.path.join(root, "config.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIG)
        roots.append(root)
    for ranks, arguments, *who in commands:
        if who:
            run(old_program, roots[0], ranks, arguments)
            shutil.rmtree(roots[1])
            shutil.copytree(roots[0], roots[1], symlinks=True)
            continue
        results = [run(program, root, ranks, arguments)
                   for program, root in zip((old_program, new_program), roots)]
        told = [[f"exit code {code}"] + normal_text(said) for code, said in results]
        if ranks > 1:  # lines of several ranks come in any order
            told = [sorted(lines) for lines in told]
        comparison.lines(f"`{arguments}` on {ranks}", *told)
    comparison.files(old_program, *roots)
    return comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--only", default="", help="cases whose names match")
    parser.add_argument("--ranks", type=int, default=4, help="at most so many")
    parser.add_argument("--keep", help="work here, and keep it")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    chosen = [(n, c) for n, c in cases(arguments.ranks) if re.search(arguments.only, n)]
    if arguments.list:
        print("\n".join(n for n, _ in chosen))
        return 0
    old, new = os.path.abspath(arguments.old), os.path.abspath(arguments.new)
    scratch = os.path.abspath(arguments.keep or tempfile.mkdtemp(prefix="compare_programs."))
    os.makedirs(scratch, exist_ok=True)
    with open(os.path.join(scratch, "text.txt"), "w", encoding="utf-8") as file:
        for i in range(3000):
            file.write(f"{i * i} is the square of {i}, and of {-i}; the sum so far is "
                       f"{i * (i + 1) * (2 * i + 1) // 6}.\n\n"[:40 + i % 40] + "\n")
    code, said = run(old, scratch, 1, "tokenize --out text.tok text.txt")
    if code != 0:
        print(said)
        return 2
    failed = []
    for name, commands in chosen:
        comparison = compare(name, commands, old, new, scratch)
        print(f"{'DIFFERENT' if comparison.failed else 'equal    '} {name}: "
              f"{len(commands)} commands, {comparison.compared} comparisons", flush=True)
        if comparison.failed:
            failed.append(name)
    if not arguments.keep and not failed:
        shutil.rmtree(scratch)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} cases equal" +
          (f"; see {scratch}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
