# SPDX-License-Identifier: Apache-2.0
"""The table of docs/reference/folders.md: what transformers and Trunkline do with folders as people have them.

  python tests/peers/folder_variants_check.py --program build/trunkline --scratch DIR
  ... --write     writes the table's two columns anew

Each folder of folder_variants.py is loaded by transformers and imported here. In fp32 and greedily
both must say the same tokens, and so must transformers with what `export` makes of the import; the
columns tell what was seen, or who refuses it. A message of Trunkline's names the matter.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess

import torch
import transformers

import command
import folder_variants
from folder_variants import PROMPT, TOKENS

TABLE = "docs/reference/folders.md"
MESSAGES = [{"role": "user", "content": "?"}]


class Refused(Exception):
    """The other program does not take the folder; its text is the column's."""


def continued(model, ids):
    ids = torch.tensor([ids])
    with torch.no_grad():
        said = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                              max_new_tokens=TOKENS)
    return said[0, ids.shape[1]:].tolist()


def there(folder):
    """What transformers does with it."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model, info = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            plain = tokenizer(PROMPT, add_special_tokens=False).input_ids
            ids = tokenizer(PROMPT).input_ids
            said = continued(model.eval(), ids)
            chat = tokenizer.chat_template and tokenizer.apply_chat_template(
                MESSAGES, tokenize=False)
    except Exception as error:  # Of whatever kind: it is told.
        raise Refused(f"refused ({type(error).__name__})") from error
    begun = {0: continued(model, plain), 1: continued(model, [tokenizer.bos_token_id, *plain])}
    return {"tokens": said, "before": len(ids) - len(plain), "chat": chat,
            "random": sorted(info["missing_keys"]), "begun": begun}


def here(program, folder, scratch):
    """What Trunkline does with it, and its export's folder."""
    imported, exported = f"{scratch}/imported", f"{scratch}/exported"
    for made in (imported, exported):
        shutil.rmtree(made, ignore_errors=True)
    result = subprocess.run([program, "import", folder, "--out", imported], capture_output=True)
    if result.returncode != 0:
        assert not os.path.exists(imported), folder
        raise Refused(result.stderr.decode())
    lines = command.run(program, "generate", imported, "--prompt", PROMPT, "--max-tokens",
                        str(TOKENS), "--temperature", "0", "--json", "--set",
                        "precision.compute=fp32", "train.sequence_length=64").splitlines()
    said, = [r for r in map(json.loads, lines) if r["record"] == "sequence"]
    command.run(program, "export", imported, "--format", "hf", "--dtype", "fp32", "--out", exported)
    return said, exported


def told(variant, seen):
    if seen["random"]:
        return f"loads, {', '.join(seen['random'])} at random"
    if variant.tell == "ends":
        count = len(seen["tokens"])
        return f"ends after {count}" if count < TOKENS else "runs on"
    if variant.tell == "begin":
        return f"{seen['before']} added"
    if variant.tell == "chat":
        return f"\"{seen['chat'].removesuffix('?')}\""
    return "loads"


def try_both(program, variant, folder, scratch):
    """The two columns of one variant."""
    try:
        seen = there(folder)
        other = told(variant, seen)
    except Refused as refused:
        seen, other = None, str(refused)
    try:
        said, exported = here(program, folder, scratch)
    except Refused as refused:
        message = str(refused).strip()
        assert variant.message and variant.message in message, f"{variant.row}: {message}"
        print(message)
        return other, "refused"
    assert not variant.message, f"{variant.row}: is not refused"
    if seen is None:
        return other, "loads"
    if said["tokens"] == seen["tokens"]:
        ours = "the same"
    else:
        # Either one runs on where the other ends, or one puts a token before the prompt.
        before, = [n for n, tokens in seen["begun"].items()
                   if all(a == b for a, b in zip(tokens, said["tokens"]))]
        ours = told(variant, {**seen, "tokens": said["tokens"], "before": before})
    back = there(exported)
    for what in ("before", "chat"):
        assert back[what] == seen[what], f"{variant.row}: {seen} became {back}"
    assert back["tokens"] in (seen["tokens"], said["tokens"]), f"{variant.row}: {said} {back}"
    return other, ours


def rows_of(text):
    """The table's rows by their first column."""
    found = re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", text, re.M)
    return {row: (other, ours) for row, other, ours in found}


def plain_folder(settings, scratch):
    """The folder of a plain model with these settings, made once."""
    name = "-".join(["plain", *(f"{k}={v}" for k, v in settings.items())])
    if not os.path.exists(f"{scratch}/{name}"):
        folder_variants.make_plain(f"{scratch}/{name}", **settings)
    return f"{scratch}/{name}"


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    os.makedirs(args.scratch, exist_ok=True)
    found = {}
    for number, variant in enumerate(folder_variants.VARIANTS):
        folder = f"{args.scratch}/{number}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(plain_folder(variant.plain, args.scratch), folder)
        variant.make(folder_variants.Folder(folder))
        found[variant.row] = try_both(args.program, variant, folder, args.scratch)
        print(f"| {variant.row} | {' | '.join(found[variant.row])} |", flush=True)
    assert len(found) == len(folder_variants.VARIANTS), "two variants have one name"
    with open(TABLE, encoding="utf-8") as file:
        text = file.read()
    if args.write:
        head, rule = "| folder | transformers | Trunkline |\n", "|---|---|---|\n"
        before, rest = text.split(head + rule)
        after = re.sub(r"\A(\|.*\n)*", "", rest)
        table = "".join(f"| {row} | {other} | {ours} |\n" for row, (other, ours) in found.items())
        with open(TABLE, "w", encoding="utf-8") as file:
            file.write(before + head + rule + table + after)
        return
    table = rows_of(text)
    for row, columns in found.items():
        assert table.get(row) == columns, f"{row}: {columns}, in {TABLE} {table.get(row)}"
    print(f"{len(found)} kinds of folders do in transformers and here what {TABLE} tells")


if __name__ == "__main__":
    main()
