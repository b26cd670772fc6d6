# SPDX-License-Identifier: Apache-2.0
"""vLLM's CPU engine with what Trunkline exports: hf, medusa and mimo, of SmolLM2 and of bytes.

  python tests/peers/vllm_check.py --program build/trunkline --text data/kjv.txt --scratch DIR
  ... --only smollm2/mimo bytes/hf      some parts alone; what DIR has already is not made again
  ... --dry                             without vLLM: trains, exports, and counts drafts here

tests/peers/vllm.sh makes the environment and calls this. In fp32 and greedily every export must
give the tokens of `trunkline generate`, end where they end, and count drafts as it does; LLM.chat
must work with the template that the folder brought along.
"""

import argparse
import functools
import json
import os
import subprocess
import sys

import command
import smollm2

TOKENS = 64
VERSES = ["And God said unto ", "In the beginning ", "The children of ", "Blessed are ",
          "Then Jesus ", "And it came to pass"]
SMOLLM2_TEXTS = ["In the beginning God created", "And the LORD spake unto Moses, saying,"]
QUESTIONS = smollm2.QUESTIONS[:5]
# vLLM hands mimo's module the trunk's stream.
OBJECTIVES = {
    "medusa": ["objective.name=medusa", "objective.heads=3"],
    "mimo": ["objective.name=sequential_mtp", "objective.depth=2",
             "objective.share_weights=true", "objective.hidden=stream"],
}
DRAFTS = {"medusa": 3, "mimo": 2}
SPECULATE = {"medusa": ["--speculate", "heads", "--tree", "chain"], "mimo": ["--speculate", "mtp"]}


def run(*arguments):
    return command.run(*arguments).decode()


def continued(program, folder, prompt, count, *options):
    """The record of `generate`'s one sequence, with the text of its first token."""
    lines = run(program, "generate", folder, "--prompt", prompt, "--max-tokens", str(count),
                "--temperature", "0", "--json", "--stream", *options, "--set",
                "precision.compute=fp32").splitlines()
    records = list(map(json.loads, lines))
    said, = [r for r in records if r["record"] == "sequence"]
    for report in (r for r in records if r["record"] == "report"):
        assert report["drafted"] == said["drafted"] and report["same_text"] == 1, records
    first = next(r for r in records if r["record"] == "pass")
    return said | {"first": first["text"]}


def drafted(program, folder, prompts, plain, *options):
    """The same with drafts. vLLM drafts what follows the first token; so does `generate` where
    that token is the prompt's last one."""
    sequences = [continued(program, folder, prompt + text["first"], TOKENS - 1, "--report",
                           *options)
                 for prompt, text in zip(prompts, plain)]
    for text, said in zip(plain, sequences):
        assert said["tokens"] == text["tokens"][1:] and said["stop"] == text["stop"], (text, said)
    return sequences


def theirs(answer, engine, prompts, questions):
    """What vllm_engine.py writes into the file `answer`."""
    job = {"engine": {"max_model_len": 256, "max_num_seqs": 1, **engine}, "max_tokens": TOKENS,
           "prompts": list(prompts), "questions": list(questions)}
    script = os.path.join(os.path.dirname(__file__), "vllm_engine.py")
    result = subprocess.run([sys.executable, script, answer], input=json.dumps(job).encode(),
                            capture_output=True)
    if result.returncode != 0:
        sys.exit(f"vLLM with {engine}\n{result.stderr.decode(errors='replace')[-8000:]}")
    with open(answer, encoding="utf-8") as file:
        return json.load(file)


def check_counts(what, said, found, drafts):
    """vLLM counts whole passes; `generate` counts what lies in the text and has room there."""
    assert said["passes"] == found["passes"], (what, said, found)
    behind = 1 + found["passes"] + found["accepted"] - len(found["tokens"])
    assert behind >= 0, (what, found)
    # A pass adds the accepted drafts and one token more. Behind an end token that one goes first;
    # before the last token that is asked for, `generate` does not draft it.
    full = len(found["tokens"]) == TOKENS
    expected = found["accepted"] - (behind if full else max(0, behind - 1))
    assert said["accepted"] == expected, (what, said, found)
    assert found["drafted"] == drafts * found["passes"], (what, found)
    missing = found["drafted"] - said["drafted"]
    assert 0 <= missing <= drafts * (drafts + 1) // 2, (what, said, found)


def check(what, plain, found, sequences=(), drafts=0):
    for said, other in zip(plain, found, strict=True):
        assert said["tokens"] == other["tokens"], f"{what}: {said} here, {other} in vLLM"
        assert other["finish"] == {"end": "stop", "length": "length"}[said["stop"]], (said, other)
    line = (f"{what:14s} {len(found)} texts of {sum(len(f['tokens']) for f in found)} tokens "
            f"equal, {sum(f['finish'] == 'stop' for f in found)} ended")
    if drafts > 0:
        for said, other in zip(sequences, found, strict=True):
            check_counts(what, said, other, drafts)
        line += (f"; accepted {counted(sequences)}, in vLLM with what lies behind the ends "
                 f"{counted(found)}")
    print(line, flush=True)


def counted(texts):
    accepted = sum(t["accepted"] for t in texts)
    return f"{accepted or 'none'}/{sum(t['drafted'] for t in texts)}"


class Model:
    """A trunk, the heads trained on it and their exports, made when they are first asked for."""

    def __init__(self, args):
        self.program, self.text, self.scratch = args.program, args.text, args.scratch
        self.dry = args.dry

    def path(self, name):
        return f"{self.scratch}/{self.name}-{name}"

    def train(self, folder, config, steps, *settings):
        if not os.path.exists(f"{folder}/step_{steps:08d}"):
            run(self.program, "train", config, "--set", f"run.dir={folder}",
                f"data.train={self.tokens()}", "data.eval=[]", f"train.steps={steps}",
                *self.settings, *settings)
        return folder

    def heads(self, kind):
        return self.train(self.path(kind), self.config(), self.steps[kind],
                          f"run.init_from={self.trunk()}", "objective.freeze_trunk=true",
                          *OBJECTIVES[kind])

    def exported(self, kind):
        out = self.path(f"{kind}-exported")
        if not os.path.exists(out):
            run(self.program, "export", self.trunk() if kind == "hf" else self.heads(kind),
                "--format", kind, "--dtype", "fp32", "--out", out)
        return out

    def engine(self, kind):
        """The arguments of vllm.LLM."""
        if kind == "hf":
            return {"model": self.exported(kind)}
        method = {"num_speculative_tokens": DRAFTS[kind]}
        if kind == "medusa":
            return {"model": self.exported("hf"), "speculative_config": {
                "method": "medusa", "model": self.exported(kind), **method}}
        return {"model": self.exported(kind), "trust_remote_code": True,
                "speculative_config": {"method": "mtp", **method}}

    @functools.cached_property
    def plain(self):
        """Greedy texts without drafts, the questions by the folder's template first."""
        said = [continued(self.program, self.trunk(), text, TOKENS) for text in self.texts()]
        self.check_ends(said)
        return said

    def check(self, kind):
        engine, plain, sequences, drafts = self.engine(kind), self.plain, [], 0
        if kind != "hf":
            drafts = DRAFTS[kind]
            sequences = drafted(self.program, self.heads(kind), self.texts(), plain,
                                *SPECULATE[kind], "--drafts", str(drafts))
        what = f"{self.name} {kind}"
        if self.dry:
            drafts = f"; accepted {counted(sequences)}" if sequences else ""
            print(f"{what:14s} {len(plain)} texts here{drafts}", flush=True)
        else:
            found = theirs(self.path(f"{kind}-answer.json"), engine, self.prompts, self.questions)
            check(what, plain, found, sequences, drafts)


class Bytes(Model):
    name, prompts, questions = "bytes", VERSES, []
    settings = ["train.sequence_length=256"]
    steps = {"medusa": 100, "mimo": 100}

    def config(self):
        return "configs/tiny.toml"

    def tokens(self):
        out = self.path("text.tok")
        if not os.path.exists(out):
            run(self.program, "tokenize", "--tokenizer", "bytes", "--out", out, self.text)
        return out

    def trunk(self):
        return self.train(self.path("trunk"), self.config(), 400)

    def texts(self):
        return self.prompts

    def check_ends(self, said):
        assert all(text["stop"] == "length" for text in said), said


class SmolLM2(Model):
    name, prompts, questions = "smollm2", SMOLLM2_TEXTS, QUESTIONS
    settings = ["train.sequence_length=128", "train.global_batch_size=2",
                "train.micro_batch_size=1", "optimizer.lr=1e-3", "optimizer.warmup_steps=2"]
    # Young heads: their drafts must be counted, not good.
    steps = {"medusa": 8, "mimo": 12}

    def config(self):
        return f"{self.trunk()}/config.toml"

    def source(self):
        out = self.path("source")
        if not os.path.exists(f"{out}/tokenizer_config.json"):
            smollm2.make_folder(out)
        return out

    def trunk(self):
        out = self.path("trunk")
        if not os.path.exists(out):
            run(self.program, "import", self.source(), "--out", out)
        return out

    def tokens(self):
        out, text = self.path("text.tok"), self.path("text.txt")
        if not os.path.exists(out):
            with open(self.text, encoding="utf-8") as file, \
                    open(text, "w", encoding="utf-8") as piece:
                piece.write(file.read(1 << 18))
            run(self.program, "tokenize", "--tokenizer", self.trunk(), "--out", out, text)
        return out

    @functools.cached_property
    def tokenizer(self):
        import transformers
        return transformers.AutoTokenizer.from_pretrained(self.source())

    def texts(self):
        return [smollm2.chat(self.tokenizer, q) for q in self.questions] + self.prompts

    def check_ends(self, said):
        end = self.tokenizer.convert_tokens_to_ids(smollm2.END)
        ended = [text["tokens"][-1] for text in said if text["stop"] == "end"]
        assert len(ended) >= 3 and set(ended) == {end}, ended


def main():
    models = {model.name: model for model in (Bytes, SmolLM2)}
    parts = [f"{model}/{kind}" for model in models for kind in ("hf", "medusa", "mimo")]
    parser = argparse.ArgumentParser()
    for name in ("program", "text", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.scratch, exist_ok=True)
    for name, model in models.items():
        kinds = [part.split("/")[1] for part in args.only if part.startswith(f"{name}/")]
        if kinds:
            made = model(args)
            for kind in kinds:
                made.check(kind)


if __name__ == "__main__":
    main()
