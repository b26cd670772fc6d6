# SPDX-License-Identifier: Apache-2.0
"""Makes tokenizer.json files of every kind that Trunkline reads, small ones, with PyPI's `tokenizers`.

build(name, files, vocab, path) trains one on text files and writes it to path. Called as a program
it writes tests/fuzz/tokenizer_json/:

  tests/peers/json_tokenizers.py FOLDER
"""
import base64
import io
import json
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, trainers

SPACE = "\u2581"
BYTES = [f"<0x{b:02X}>" for b in range(256)]
# As SmolLM2's vocabulary: bytes that no UTF-8 text of its training had.
MISSING_BYTES = [0, 6, 11, 14, 17, 22, 0xC0, 0xC1, 0xCC, 0xD6, 0xE4, 0xE9, 0xF0, 0xF1, 0xF2, 0xF3,
                 0xF5, 0xF8, 0xFA, 0xFC, 0xFF]
SMOLLM = ["incomplete", "incomplete-unk", "incomplete-fused"]
BPE = ["llama", "gemma", "first", "metaspace", "unknowns", "odd", "lower", "some-bytes"]
UNIGRAM = ["t5", "unigram-bytes", "unigram-whole", "unigram-nfkc"]
NAMES = SMOLLM + BPE + UNIGRAM


# A few rules as nmt_nfkc has many, for small files.
RULES = [("FB01", "66 69"), ("9", "20"), ("A", "20"), ("A0", "20"), ("FF21", "41"), ("1", ""),
         ("65 301", "E9"), ("A8", "20 308"), ("2163", "49 56"), ("AD", "")]


def charsmap(small):
    """SentencePiece's own rules as T5's and XLM-R's models hold them, or a few."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("".join(f"{old}\t{new}\n" for old, new in RULES))
        rules.flush()
        which = {"normalization_rule_tsv": rules.name} if small else {
            "normalization_rule_name": "nmt_nfkc"}
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d"] * 20), model_writer=model, vocab_size=8,
            minloglevel=2, **which)
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    return base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


def replace(old, new):
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def sequence(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split}


def odd_tokens():
    return [AddedToken("<left>", lstrip=True, normalized=False),
            AddedToken("<right>", rstrip=True, normalized=False),
            AddedToken("<both>", lstrip=True, rstrip=True, special=True),
            AddedToken("word", single_word=True), AddedToken("<norm>", normalized=True),
            AddedToken("Ünï", normalized=True), AddedToken("  ", normalized=False),
            AddedToken("\n\n", normalized=False, rstrip=True),
            AddedToken("<one>", single_word=True, lstrip=True, normalized=False)]


def trained(name, files, vocab):
    """What is trained, as JSON: the vocabulary and merges or scores, with plain components."""
    unigram = name in UNIGRAM
    t = Tokenizer(models.Unigram() if unigram else models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.NFKC() if unigram else None
    if name in SMOLLM:
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>"]
    if unigram:
        trainer = trainers.UnigramTrainer(vocab_size=vocab, special_tokens=special + BYTES,
                                          unk_token="<unk>", show_progress=False)
    else:
        trainer = trainers.BpeTrainer(vocab_size=vocab + 300, special_tokens=special + BYTES,
                                      limit_alphabet=vocab // 4, show_progress=False)
    t.train(files, trainer)
    if name in ("odd", "lower"):
        t.add_tokens(odd_tokens())
    root = json.loads(t.to_str())
    root["added_tokens"] = [a for a in root["added_tokens"] if a["content"] not in BYTES]
    return root


def incomplete(root, name):
    """Takes bytes out of a byte-level vocabulary, and numbers what is left anew."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    gone = set(BYTES) | {c for c in alphabet if byte_of(c) in MISSING_BYTES}
    model = root["model"]
    keep = [t for t in sorted(model["vocab"], key=model["vocab"].get)
            if t not in gone and not any(c in gone for c in t)]
    keep += [c for c in alphabet if c not in gone and c not in keep]
    model["vocab"] = {t: i for i, t in enumerate(keep)}
    model["merges"] = [m for m in model["merges"] if all(p in model["vocab"] for p in m)
                       and "".join(m) in model["vocab"]]
    model["unk_token"] = None if name == "incomplete" else "<unk>"
    model["fuse_unk"] = name == "incomplete-fused"
    for token in root["added_tokens"]:
        token["id"] = model["vocab"][token["content"]]
    root["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                       "use_regex": True}


def byte_of(stand_in):
    code = ord(stand_in)
    if 33 <= code <= 126 or 161 <= code <= 172 or 174 <= code <= 255:
        return code
    others = [b for b in range(256) if not (33 <= b <= 126 or 161 <= b <= 172 or b >= 174)]
    return others[code - 256]


def build(name, files, vocab, path, small=False):
    root = trained(name, files, vocab)
    model = root["model"]
    root["normalizer"] = root["pre_tokenizer"] = None
    fallback = sequence("decoders", replace(SPACE, " "), {"type": "ByteFallback"}, {"type": "Fuse"})
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    llama = sequence("decoders", *fallback["decoders"], strip)
    root["decoder"] = llama
    if name in SMOLLM:
        root["pre_tokenizer"] = sequence(
            "pretokenizers", {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True})
        incomplete(root, name)
    elif name in BPE:
        model["byte_fallback"] = name != "unknowns" and name != "metaspace"
        model["fuse_unk"] = name != "unknowns"
    if name in ("llama", "odd"):
        root["normalizer"] = sequence("normalizers", {"type": "Prepend", "prepend": SPACE},
                                      replace(" ", SPACE))
    elif name == "gemma":
        root["normalizer"] = replace(" ", SPACE)
        root["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "},
                                 "behavior": "MergedWithPrevious", "invert": False}
        root["decoder"] = fallback
    elif name in ("first", "some-bytes"):
        root["pre_tokenizer"] = metaspace("first", False)
        if name == "some-bytes":  # characters of which some have no token either
            for b in range(0xE3, 256):
                model["vocab"][f"[gone {b}]"] = model["vocab"].pop(BYTES[b])
            model["ignore_merges"] = True
    elif name == "metaspace":
        root["pre_tokenizer"] = metaspace("always", True)
        root["decoder"] = metaspace("always", True)
    elif name == "unknowns":
        root["normalizer"] = sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"},
                                      {"type": "Strip", "strip_left": True, "strip_right": True})
        root["pre_tokenizer"] = metaspace("never", True)
        root["decoder"] = metaspace("never", True)
    elif name == "lower":
        root["normalizer"] = sequence("normalizers", {"type": "Nmt"}, {"type": "Lowercase"},
                                      {"type": "NFC"})
        root["pre_tokenizer"] = sequence(
            "pretokenizers", {"type": "Digits", "individual_digits": False},
            {"type": "Split", "pattern": {"Regex": "[,.!?]"}, "behavior": "MergedWithNext",
             "invert": False}, metaspace("first", True),
            {"type": "Split", "pattern": {"Regex": "[a-z]+"}, "behavior": "Contiguous",
             "invert": True})
    elif name == "t5":
        root["normalizer"] = sequence(
            "normalizers", {"type": "Precompiled", "precompiled_charsmap": charsmap(small)},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
        root["pre_tokenizer"] = sequence("pretokenizers", {"type": "WhitespaceSplit"},
                                         metaspace("always", True))
        root["decoder"] = metaspace("always", True)
    elif name == "unigram-bytes":
        model["byte_fallback"] = True
        root["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap(small)}
        root["pre_tokenizer"] = metaspace("first", True)
    elif name == "unigram-whole":
        model["byte_fallback"] = True
        root["normalizer"] = sequence("normalizers", {"type": "Prepend", "prepend": SPACE},
                                      replace(" ", SPACE))
    elif name == "unigram-nfkc":
        root["normalizer"] = {"type": "NFKC"}
        root["pre_tokenizer"] = sequence("pretokenizers", {"type": "WhitespaceSplit"},
                                         metaspace("first", True))
        root["decoder"] = metaspace("first", True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(root, f, ensure_ascii=False, separators=(",", ":"))
    return path


if __name__ == "__main__":
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as corpus:
        corpus.write("The word of it is a word, the end. abc ab 12 é 字\n" * 30)
        corpus.flush()
        for kind in NAMES:
            build(kind, [corpus.name], 60, f"{sys.argv[1]}/{kind}.json", small=True)
