# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct in Trunkline, transformers and llama.cpp.

  python tests/peers/smollm2_check.py --program build/trunkline --text data/kjv.txt --scratch DIR

Makes the model's folder (smollm2.py) and imports it. In fp32 the loss of 5,000 tokens must be that
of transformers to 1e-5, and 64 greedy tokens of ten prompts must be equal; answers must end at
<|im_end|>, here, in transformers with the exported folder and in llama.cpp with the exported GGUF.
What the folder says of texts must come back with the export.
"""

import argparse
import json
import os
import re

import torch
import transformers

import command
import smollm2

LENGTH, WINDOWS = 500, 10
TOKENS = 64
TEXTS = ["In the beginning God created", "The three primary colours are", "def fibonacci(n):\n"]
FP32 = ("--set", "precision.compute=fp32")


def run(*arguments):
    return command.run(*arguments).decode()


def load(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[what], f"{folder}: {what}: {info[what]}"
    return model.eval()


def text_of_tokens(tokenizer, text, count):
    """Returns a piece of the text that is `count` tokens, and these."""
    verses = text.splitlines(keepends=True)
    for first in range(len(verses)):
        piece = "".join(verses[first:first + 400])
        coded = tokenizer(piece, add_special_tokens=False, return_offsets_mapping=True)
        end = coded.offset_mapping[count][0]
        # Cut where a word begins, else the last tokens would be others.
        if piece[end] == " ":
            return piece[:end], coded.input_ids[:count]
    raise AssertionError("no piece of text ends with a word")


def check_loss(program, imported, model, tokenizer, text, scratch):
    """The loss of WINDOWS windows of LENGTH tokens."""
    piece, ids = text_of_tokens(tokenizer, text, LENGTH * WINDOWS + 1)
    with open(f"{scratch}/eval.txt", "w", encoding="utf-8") as file:
        file.write(piece)
    run(program, "tokenize", "--tokenizer", imported, "--end-token", "none", "--out",
        f"{scratch}/eval.tok", f"{scratch}/eval.txt")
    said = run(program, "eval", imported, "--data", f"{scratch}/eval.tok", *FP32, "--set",
               f"train.sequence_length={LENGTH}", "train.micro_batch_size=1")
    ours, count = re.search(r"eval_loss ([0-9.]+) over (\d+)", said).groups()
    assert int(count) == LENGTH * WINDOWS, said
    tokens = torch.tensor(ids)
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(model(window[None, :-1]).logits[0].double(),
                                                    window[1:])
                  for window in tokens.unfold(0, LENGTH + 1, LENGTH)]
    theirs = torch.stack(losses).mean().item()
    assert len(losses) == WINDOWS
    assert abs(float(ours) - theirs) < 1e-5, f"loss {ours} here, {theirs} in transformers"
    print(f"SmolLM2: loss of {count} tokens {ours} against {theirs:.7f}")


def continued_here(program, folder, prompt):
    lines = run(program, "generate", folder, "--prompt", prompt, "--max-tokens", str(TOKENS),
                "--temperature", "0", "--json", *FP32).splitlines()
    said, = [r for r in map(json.loads, lines) if r["record"] == "sequence"]
    return said


def continued_there(model, tokenizer, prompt):
    """The ids that transformers adds; the ends are those of the folder."""
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**ids, max_new_tokens=TOKENS, do_sample=False)
    return out[0, ids.input_ids.shape[1]:].tolist()


def check_texts(program, imported, exported_model, tokenizer, prompts):
    """Greedy texts here and of the exported folder in transformers; returns ours."""
    end = tokenizer.convert_tokens_to_ids(smollm2.END)
    texts, ended = [], 0
    for prompt in prompts:
        said = continued_here(program, imported, prompt)
        theirs = continued_there(exported_model, tokenizer, prompt)
        assert said["tokens"] == theirs, \
            f"{prompt!r}: {said['tokens']} here, {theirs} in transformers"
        assert (said["stop"] == "end") == (said["tokens"][-1] == end), said
        assert len(said["tokens"]) == TOKENS or said["stop"] == "end", said
        assert smollm2.END not in said["text"], said
        ended += said["stop"] == "end"
        texts.append(said)
    assert ended >= 3 and any(t["stop"] == "length" for t in texts), [t["stop"] for t in texts]
    print(f"SmolLM2: up to {TOKENS} greedy tokens of {len(prompts)} prompts equal in transformers; "
          f"{ended} end at {smollm2.END}")
    return texts


def contents(folder, name):
    path = f"{folder}/{name}"
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file) if name.endswith(".json") else file.read()


def check_round_trip(source, exported, tokenizer):
    """What the folder says of texts, and what transformers makes of it."""
    for name in ("config.json", "generation_config.json", "tokenizer_config.json",
                 "special_tokens_map.json", "chat_template.jinja", "tokenizer.json"):
        before, after = contents(source, name), contents(exported, name)
        assert before == after, f"{name}: {before} became {after}"
    assert contents(source, "generation_config.json") and tokenizer.chat_template
    back = transformers.AutoTokenizer.from_pretrained(exported)
    for what in ("chat_template", "special_tokens_map", "all_special_ids", "eos_token_id",
                 "bos_token_id", "pad_token_id", "unk_token_id", "model_max_length",
                 "padding_side"):
        before, after = getattr(tokenizer, what), getattr(back, what)
        assert before == after, f"{what}: {before} became {after}"
    for kind in (transformers.AutoConfig, transformers.GenerationConfig):
        before, after = (kind.from_pretrained(f).to_dict() for f in (source, exported))
        for ignored in ("_name_or_path",):
            before.pop(ignored, None), after.pop(ignored, None)
        assert before == after, f"{kind.__name__}: {before} became {after}"
    print("SmolLM2: the folder's config, ends, template and tokenizer came back")


def check_llama(file, questions, texts):
    """Chats in llama.cpp with the template and the ends of the GGUF's own metadata."""
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_ctx = 1024
    params.n_parallel = 1
    params.warmup = False
    params.verbosity = 0
    params.use_jinja = True
    params.cpuparams.n_threads = torch.get_num_threads()
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(params)
    for question, ours in zip(questions, texts):
        said = server.handle_chat_completions({
            "messages": [{"role": "user", "content": question}], "max_tokens": TOKENS,
            "temperature": 0})
        choice = said["choices"][0]
        # A character that the last token cuts is left out there.
        expected = ours["text"].rstrip("\ufffd").strip()
        assert choice["message"]["content"].strip() == expected, (choice, ours)
        expected = "stop" if ours["stop"] == "end" else "length"
        assert choice["finish_reason"] == expected, (choice, ours)
        assert said["usage"]["completion_tokens"] == len(ours["tokens"]), (said, ours)
    print(f"SmolLM2: llama.cpp chats {len(questions)} times by the GGUF's template, texts and "
          "ends equal")


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "text", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    os.makedirs(args.scratch, exist_ok=True)
    source, imported, exported, gguf = (
        f"{args.scratch}/{name}" for name in ("source", "imported", "exported", "gguf"))
    smollm2.make_folder(source)
    run(args.program, "import", source, "--out", imported)
    run(args.program, "export", imported, "--format", "hf", "--dtype", "bf16", "--out", exported)
    run(args.program, "export", imported, "--format", "gguf", "--dtype", "fp32", "--out", gguf)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    check_round_trip(source, exported, tokenizer)
    model = load(source)
    with open(args.text, encoding="utf-8") as file:
        check_loss(args.program, imported, model, tokenizer, file.read(), args.scratch)
    prompts = [smollm2.chat(tokenizer, q) for q in smollm2.QUESTIONS] + TEXTS
    exported_model = load(exported)
    weights = exported_model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    texts = check_texts(args.program, imported, exported_model, tokenizer, prompts)
    check_llama(f"{gguf}/model.gguf", smollm2.QUESTIONS, texts)


if __name__ == "__main__":
    main()
