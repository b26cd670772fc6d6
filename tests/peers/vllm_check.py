"""vLLM's CPU engine with what Trunkline exports: hf, medusa and mimo, of SmolLM2 and of bytes.

  python tests/peers/vllm_check.py --program build/trunkline --text data/kjv.txt --scratch DIR

tests/peers/vllm.sh makes the environment and calls this. In fp32 and greedily every export must
give the tokens of `trunkline generate`, end where they end, and count drafts as it does; LLM.chat
must work with the template that the folder brought along.
"""

import argparse
import json
import os
import subprocess
import sys

import command
import smollm2

TOKENS = 64
VERSES = ["And God said unto ", "In the beginning ", "The children of ", "Blessed are ",
          "Then Jesus ", "And it came to pass"]
SMOLLM2_TEXTS = ["In the beginning God created"]
QUESTIONS = smollm2.QUESTIONS[:5]
MEDUSA_HEADS, MTP_DEPTH = 3, 2
HEADS = {
    "medusa": ["objective.name=medusa", f"objective.heads={MEDUSA_HEADS}"],
    # vLLM hands the module the trunk's stream.
    "mimo": ["objective.name=sequential_mtp", f"objective.depth={MTP_DEPTH}",
             "objective.share_weights=true", "objective.hidden=stream"],
}


def run(*arguments):
    return command.run(*arguments).decode()


def train_heads(program, config, trunk, scratch, name, settings):
    """Trains each kind of heads on the frozen trunk; returns their run folders by kind."""
    folders = {}
    for kind, objective in HEADS.items():
        folders[kind] = f"{scratch}/{name}-{kind}"
        run(program, "train", config, "--set", f"run.dir={folders[kind]}",
            f"run.init_from={trunk}", "objective.freeze_trunk=true", *objective, *settings)
    return folders


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


def theirs(scratch, engine, prompts, questions=()):
    answer = f"{scratch}/answer.json"
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
    assert len(plain) == len(found)
    for said, other in zip(plain, found):
        assert said["tokens"] == other["tokens"], f"{what}: {said} here, {other} in vLLM"
        assert other["finish"] == {"end": "stop", "length": "length"}[said["stop"]], (said, other)
    line = (f"{what:16s} {len(found)} texts of {sum(len(f['tokens']) for f in found)} tokens "
            f"equal, {sum(f['finish'] == 'stop' for f in found)} ended")
    if drafts > 0:
        for said, other in zip(sequences, found, strict=True):
            check_counts(what, said, other, drafts)
        counted = [f"{sum(t['accepted'] for t in texts)}/{sum(t['drafted'] for t in texts)}"
                   for texts in (sequences, found)]
        assert any(t["accepted"] > 0 for t in sequences), f"{what}: no draft was accepted"
        line += f"; accepted {counted[0]}, in vLLM with what lies behind the ends {counted[1]}"
    print(line, flush=True)


def check_model(name, program, trunk, heads, scratch, prompts, questions=(), templated=()):
    """The trunk and both kinds of heads. `templated` are the questions by the template."""
    folders = {}
    for kind, folder in (("hf", trunk), *heads.items()):
        folders[kind] = f"{scratch}/{name}-{kind}-exported"
        run(program, "export", folder, "--format", kind, "--dtype", "fp32", "--out", folders[kind])
    texts = [*templated, *prompts]
    plain = [continued(program, trunk, text, TOKENS) for text in texts]
    check(f"{name} hf", plain, theirs(scratch, {"model": folders["hf"]}, prompts, questions))

    drafts = MEDUSA_HEADS
    engine = {"model": folders["hf"], "speculative_config": {
        "method": "medusa", "model": folders["medusa"], "num_speculative_tokens": drafts}}
    sequences = drafted(program, heads["medusa"], texts, plain, "--speculate", "heads", "--tree",
                        "chain", "--drafts", str(drafts))
    check(f"{name} medusa", plain, theirs(scratch, engine, prompts, questions), sequences, drafts)

    drafts = MTP_DEPTH
    engine = {"model": folders["mimo"], "trust_remote_code": True, "speculative_config": {
        "method": "mtp", "num_speculative_tokens": drafts}}
    sequences = drafted(program, heads["mimo"], texts, plain, "--speculate", "mtp", "--drafts",
                        str(drafts))
    check(f"{name} mimo", plain, theirs(scratch, engine, prompts, questions), sequences, drafts)
    return plain


def check_bytes(program, text, scratch):
    tokens = f"{scratch}/bytes.tok"
    run(program, "tokenize", "--tokenizer", "bytes", "--out", tokens, text)
    settings = [f"data.train={tokens}", "data.eval=[]", "train.sequence_length=256"]
    trunk = f"{scratch}/bytes"
    run(program, "train", "configs/tiny.toml", "--set", f"run.dir={trunk}", *settings,
        "train.steps=400")
    heads = train_heads(program, "configs/tiny.toml", trunk, scratch, "bytes",
                        [*settings, "train.steps=100"])
    check_model("bytes", program, trunk, heads, scratch, VERSES)


def check_smollm2(program, text, scratch):
    import transformers
    source, trunk, tokens = (f"{scratch}/{n}" for n in ("source", "smollm2", "smollm2.tok"))
    smollm2.make_folder(source)
    run(program, "import", source, "--out", trunk)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    with open(text, encoding="utf-8") as file, \
            open(f"{scratch}/smollm2.txt", "w", encoding="utf-8") as out:
        out.write(file.read(1 << 18))
    run(program, "tokenize", "--tokenizer", trunk, "--out", tokens, f"{scratch}/smollm2.txt")
    # Young heads: their drafts must be counted, not good.
    settings = [f"data.train={tokens}", "data.eval=[]", "train.sequence_length=128",
                "train.global_batch_size=2", "train.micro_batch_size=1", "train.steps=8",
                "optimizer.lr=1e-3", "optimizer.warmup_steps=2"]
    heads = train_heads(program, f"{trunk}/config.toml", trunk, scratch, "smollm2", settings)
    templated = [smollm2.chat(tokenizer, q) for q in QUESTIONS]
    plain = check_model("SmolLM2", program, trunk, heads, scratch, SMOLLM2_TEXTS,
                        QUESTIONS, templated)
    end = tokenizer.convert_tokens_to_ids(smollm2.END)
    ended = [t["tokens"][-1] for t in plain if t["stop"] == "end"]
    assert len(ended) >= 3 and set(ended) == {end}, ended


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "text", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    os.makedirs(args.scratch, exist_ok=True)
    check_bytes(args.program, args.text, args.scratch)
    check_smollm2(args.program, args.text, args.scratch)


if __name__ == "__main__":
    main()
