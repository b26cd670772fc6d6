# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folders as people have them, made of one small Llama, for folder_variants_check.py.

VARIANTS has for each row of docs/reference/folders.md what makes its folder out of that of a plain model.
"""

import dataclasses
import json
import os
import shutil
import typing

import tokenizers
import torch
import transformers

PROMPT = "In the"
BEGIN, END, OTHER_END, PAD = "<s>", "</s>", "<|other|>", "<pad>"
SPECIAL = [BEGIN, END, OTHER_END, PAD]
TOKENS = 10
# The model's greedy text of PROMPT has the ends there for the first time.
OTHER_END_AT, END_AT = 2, 5
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 17\n"


def byte_tokenizer():
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("I", "n"), ("\u0120", "the")]
    vocab = {token: i for i, token in enumerate(alphabet + ["".join(m) for m in merges])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def greedy(model, ids, count):
    ids = list(ids)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-count:]


def swap(model, a, b):
    """Makes token `a` of the model its token `b`, and the other way round."""
    with torch.no_grad():
        for table in {id(w): w for w in (model.get_input_embeddings().weight,
                                         model.get_output_embeddings().weight)}.values():
            table[[a, b]] = table[[b, a]]


def make_plain(folder, **settings):
    """Writes a Llama of random weights whose greedy text has both ends where they should be."""
    tokenizer = byte_tokenizer()
    prompt = tokenizer.encode(PROMPT).ids
    special = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    config = transformers.LlamaConfig(**dict(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, intermediate_size=96,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
        max_position_embeddings=64, initializer_range=0.2, bos_token_id=special[BEGIN],
        eos_token_id=special[END], tie_word_embeddings=False) | settings)
    for seed in range(1000):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config).eval()
        said = greedy(model, prompt, TOKENS)
        ends = [said[OTHER_END_AT], said[END_AT]]
        fits = all(said.index(end) == at and end not in prompt
                   for end, at in zip(ends, (OTHER_END_AT, END_AT)))
        if fits and not set(said) & set(special.values()):
            break
    else:
        raise AssertionError("no seed gives a text of different tokens")
    swap(model, ends[0], special[OTHER_END])
    swap(model, ends[1], special[END])
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END).save_pretrained(folder)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        assert os.path.exists(f"{folder}/{name}"), name


class Folder:
    """A copy of a plain folder to be changed."""

    def __init__(self, path):
        self.path = path

    def file(self, name):
        return f"{self.path}/{name}"

    def json(self, name):
        with open(self.file(name), encoding="utf-8") as file:
            return json.load(file)

    def change(self, name, remove=(), **values):
        content = self.json(name) if os.path.exists(self.file(name)) else {}
        content |= values
        for key in remove:
            content.pop(key, None)
        self.put(name, json.dumps(content))

    def put(self, name, text):
        with open(self.file(name), "w", encoding="utf-8") as file:
            file.write(text)

    def remove(self, *names):
        for name in names:
            os.remove(self.file(name))

    def weights(self):
        import safetensors.torch
        return safetensors.torch.load_file(self.file("model.safetensors"))

    def write_weights(self, tensors, name="model.safetensors"):
        import safetensors.torch
        safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()},
                                    self.file(name), metadata={"format": "pt"})

    def set_weights(self, change):
        tensors = self.weights()
        change(tensors)
        self.write_weights(tensors)

    def shard(self, index=True, **also):
        """Two files in place of one. `also`: names that only the index has."""
        tensors = self.weights()
        self.remove("model.safetensors")
        names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
        halves = {name: names[i % 2] for i, name in enumerate(sorted(tensors))}
        for file in names:
            self.write_weights({n: tensors[n] for n in tensors if halves[n] == file}, file)
        if index:
            self.put("model.safetensors.index.json", json.dumps(
                {"metadata": {}, "weight_map": halves | also}))
        return names

    def processor(self, value):
        self.change("tokenizer.json", post_processor=value)

    def id(self, token):
        return tokenizers.Tokenizer.from_file(self.file("tokenizer.json")).token_to_id(token)

    def ends(self, config, generation):
        """What both files say; None removes the second."""
        self.change("config.json", eos_token_id=config)
        if generation is None:
            self.remove("generation_config.json")
        else:
            self.change("generation_config.json", eos_token_id=generation)


def template(*tokens):
    """A post-processor that puts tokens before a text."""
    def make(f):
        return {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": t, "type_id": 0}} for t in tokens] +
                          [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                         {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {t: {"id": t, "ids": [f.id(t)], "tokens": [t]} for t in tokens}}
    return make


def sequence(f):
    return {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False,
         "use_regex": True}, template(BEGIN)(f)]}


def fp8(f):
    """Writes one projection as F8_E4M3."""
    f.set_weights(lambda w: w.update({
        name: t.to(torch.float8_e4m3fn) for name, t in w.items() if name.endswith("q_proj.weight")}))


def links(f):
    """Files as the cache of the Hub has them."""
    os.mkdir(f.file("blobs"))
    for name in os.listdir(f.path):
        if name != "blobs":
            shutil.move(f.file(name), f.file(f"blobs/{name}.blob"))
            os.symlink(f"blobs/{name}.blob", f.file(name))


def pickle(f):
    torch.save(f.weights(), f.file("pytorch_model.bin"))
    f.remove("model.safetensors")


def tiktoken(f):
    f.remove("tokenizer.json")
    f.put("tokenizer.model", "IQ== 0\nIg== 1\n")


def pad_beyond(f):
    tokens = f.json("tokenizer.json")
    added = dict(tokens["added_tokens"][-1])
    tokens["added_tokens"].append(added | {"id": added["id"] + 1, "content": "<more>"})
    f.put("tokenizer.json", json.dumps(tokens))


def unused_rows(f):
    """A vocabulary padded to a multiple."""
    f.change("config.json", vocab_size=320)
    f.set_weights(lambda w: w.update({
        name: torch.cat([w[name], torch.zeros(320 - len(w[name]), 64)])
        for name in ("model.embed_tokens.weight", "lm_head.weight")}))


def chat_file(f, text="file"):
    f.put("chat_template.jinja", f"{text}{{{{ messages[0].content }}}}")


def chat_key(f, value="key{{ messages[0].content }}"):
    f.change("tokenizer_config.json", chat_template=value)


@dataclasses.dataclass
class Variant:
    row: str
    make: typing.Callable[[Folder], object]
    # What the table tells of it: "loads", "ends", "begin" or "chat".
    tell: str = "loads"
    # The settings of its plain model.
    plain: dict = dataclasses.field(default_factory=dict)
    # What Trunkline's message must have, where it refuses.
    message: str = ""


def ends(config, generation):
    names = {"end": END, "other": OTHER_END}

    def ids(f, value):
        if isinstance(value, list):
            return [f.id(names[v]) for v in value]
        return f.id(names[value]) if value in names else value
    return lambda f: f.ends(ids(f, config), None if generation is None else ids(f, generation))


VARIANTS = [
    Variant("as transformers saves it", lambda f: None, "ends"),
    Variant("files that are links, as in the Hub's cache", links, "ends"),
    Variant("`eos_token_id` a list", ends(["end", "other"], ["end", "other"]), "ends"),
    Variant("`generation_config.json` names another end than `config.json`", ends("end", "other"),
            "ends"),
    Variant("`generation_config.json` is missing", ends("other", None), "ends"),
    Variant("`generation_config.json` without ends, `config.json` with", lambda f: (
        f.change("generation_config.json", remove=["eos_token_id"])), "ends"),
    Variant("`eos_token` in `tokenizer_config.json` alone", lambda f: (
        f.change("config.json", eos_token_id=None),
        f.change("generation_config.json", remove=["eos_token_id"])), "ends"),
    Variant("no end in any file", lambda f: (
        f.change("config.json", eos_token_id=None),
        f.change("generation_config.json", remove=["eos_token_id"]),
        f.change("tokenizer_config.json", remove=["eos_token"])), "ends"),
    Variant("`eos_token` an object with `content`", lambda f: f.change(
        "tokenizer_config.json", eos_token={"content": END, "__type": "AddedToken"}), "ends"),
    Variant("`eos_token` in `special_tokens_map.json`", lambda f: (
        f.change("tokenizer_config.json", remove=["eos_token"]),
        f.change("special_tokens_map.json", eos_token=END)), "ends"),
    Variant("`pad_token_id`: -1", lambda f: f.change("config.json", pad_token_id=-1)),
    Variant("template in `chat_template.jinja`", chat_file, "chat"),
    Variant("template in `tokenizer_config.json`", chat_key, "chat"),
    Variant("template in both", lambda f: (chat_file(f), chat_key(f)), "chat"),
    Variant("several templates by name", lambda f: chat_key(f, [
        {"name": "tool_use", "template": "tool"},
        {"name": "default", "template": "default{{ messages[0].content }}"}]), "chat"),
    Variant("begin token by TemplateProcessing", lambda f: f.processor(template(BEGIN)(f)),
            "begin"),
    Variant("begin token by TemplateProcessing in a Sequence", lambda f: f.processor(sequence(f)),
            "begin"),
    Variant("more than one token before a text", lambda f: f.processor(
        template(BEGIN, OTHER_END)(f)), "begin", message="before a text"),
    Variant("`add_bos_token`: true, and no post_processor that adds one", lambda f: f.change(
        "tokenizer_config.json", add_bos_token=True), "begin"),
    Variant("`add_bos_token`: false beside TemplateProcessing", lambda f: (
        f.processor(template(BEGIN)(f)), f.change("tokenizer_config.json", add_bos_token=False)),
        "begin"),
    Variant("NaN and Infinity in `config.json`", lambda f: f.change(
        "config.json", x=float("nan"), time_step_limit=[0.0, float("inf")])),
    Variant("`rms_norm_eps`: NaN", lambda f: f.change("config.json", rms_norm_eps=float("nan")),
            message="expected a number"),
    Variant("no `architectures`, but `model_type`", lambda f: f.change(
        "config.json", remove=["architectures"])),
    Variant("`architectures`: LlamaModel, names without `model.`", lambda f: (
        f.change("config.json", architectures=["LlamaModel"]),
        f.set_weights(lambda w: [w.update({k.removeprefix("model."): w.pop(k)}) for k in list(w)])),
        message="architecture LlamaModel"),
    Variant("`rope_theta` beside the other keys, as before transformers 5", lambda f: f.change(
        "config.json", remove=["rope_parameters"], rope_theta=5000.0)),
    Variant("`rope_scaling` with `type` in place of `rope_type`: linear", lambda f: f.change(
        "config.json", remove=["rope_parameters"], rope_theta=5000.0,
        rope_scaling={"type": "linear", "factor": 2.0}), message="linear"),
    Variant("no `num_key_value_heads`, as many as heads", lambda f: f.change(
        "config.json", remove=["num_key_value_heads"]), plain={"num_key_value_heads": 4}),
    Variant("no `head_dim`: hidden over heads", lambda f: f.change(
        "config.json", remove=["head_dim"]), plain={"hidden_size": 128}),
    Variant("head_dim 100, as OpenLLaMA-3B", lambda f: None, plain={"head_dim": 100},
            message="head_dim"),
    Variant("head_dim 16", lambda f: None, plain={"head_dim": 16}, message="head_dim"),
    Variant("`hidden_act`: gelu", lambda f: f.change("config.json", hidden_act="gelu"),
            message="hidden_act"),
    Variant("`mlp_bias`: true", lambda f: None, plain={"mlp_bias": True}, message="mlp_bias"),
    Variant("`model.safetensors` and an index", lambda f: f.put(
        "model.safetensors.index.json", '{"weight_map": {"a": "gone.safetensors"}}')),
    Variant("shards and an index", lambda f: f.shard()),
    Variant("an index that names `lm_head.weight` of a tied model, which no file has",
            lambda f: f.shard(**{"lm_head.weight": "model-00002-of-00002.safetensors"}),
            plain={"tie_word_embeddings": True}),
    Variant("an index that names a file which is missing", lambda f: f.remove(f.shard()[0]),
            message="model-00001-of-00002.safetensors"),
    Variant("shards without an index", lambda f: f.shard(index=False), message="model.safetensors"),
    Variant("`lm_head.weight` in the file though it is tied", lambda f: f.set_weights(
        lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()})),
        plain={"tie_word_embeddings": True}),
    Variant("another `lm_head.weight` than the embedding though it is tied", lambda f: f.set_weights(
        lambda w: w.update({"lm_head.weight": -w["model.embed_tokens.weight"]})),
        plain={"tie_word_embeddings": True}, message="lm_head.weight"),
    Variant("no `lm_head.weight` though it is not tied", lambda f: f.set_weights(
        lambda w: w.pop("lm_head.weight")), message="lm_head.weight"),
    Variant("buffers of old Llamas (`rotary_emb.inv_freq`)", lambda f: f.set_weights(
        lambda w: w.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)}))),
    Variant("a tensor that the model does not have", lambda f: f.set_weights(
        lambda w: w.update({"model.other.weight": torch.ones(16)})), message="model.other.weight"),
    Variant("BOOL tensors (masks)", lambda f: f.set_weights(
        lambda w: w.update({"model.layers.0.self_attn.bias": torch.ones(8, dtype=torch.bool)})),
        message="BOOL"),
    Variant("weights in F16, BF16 and F32", lambda f: f.set_weights(lambda w: w.update({
        n: t.to([torch.float16, torch.bfloat16, torch.float32][i % 3])
        for i, (n, t) in enumerate(sorted(w.items()))}))),
    Variant("FP8 weights without their scales", fp8, message="FP8"),
    Variant("`quantization_config` of GPTQ", lambda f: f.change("config.json", quantization_config={
        "quant_method": "gptq", "bits": 4, "group_size": 128}), message="quantiz"),
    Variant("a vocabulary padded with rows that no token has", unused_rows),
    Variant("a token beyond `vocab_size` (`<pad>` added to a tokenizer)", pad_beyond,
            message="vocab_size"),
    Variant("more rows than `vocab_size` says", lambda f: f.set_weights(lambda w: w.update({
        "model.embed_tokens.weight": torch.cat([w["model.embed_tokens.weight"]] * 2)})),
        message="model.embed_tokens.weight"),
    Variant("a pointer of Git LFS as `model.safetensors`", lambda f: f.put(
        "model.safetensors", LFS), message="Git LFS"),
    Variant("a pointer of Git LFS as `tokenizer.json`", lambda f: f.put("tokenizer.json", LFS),
            message="Git LFS"),
    Variant("a header of `model.safetensors` that is cut", lambda f: f.put(
        "model.safetensors", "\x40"), message="model.safetensors"),
    Variant("tiktoken's list of tokens as `tokenizer.model`", tiktoken, message="tiktoken"),
    Variant("no tokenizer", lambda f: f.remove("tokenizer.json", "tokenizer_config.json"),
            message="tokenizer"),
    Variant("an adapter (LoRA, `adapter_config.json`)", lambda f: (
        f.remove("config.json", "model.safetensors"),
        f.put("adapter_config.json", '{"peft_type": "LORA", "base_model_name_or_path": "gone"}')),
        message="adapter"),
    Variant("`pytorch_model.bin` alone", pickle, message="other formats are not read"),
]
