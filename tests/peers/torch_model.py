# SPDX-License-Identifier: Apache-2.0
"""The model in PyTorch, written from its definition: an independent check of losses and gradients.

  TL_GOLDEN_DUMP=DIR build/tests/engine_tests --file=golden_test.cc   writes each case's initial weights to DIR
  python tests/peers/torch_model.py DIR            compares with the committed golden files
  python tests/peers/torch_model.py DIR --write    writes them: losses, gradient norms and samples

fp64 decides the golden values; fp32 is run beside it to show what rounding alone does. Needs only
PyTorch. Denoisers are in torch_denoiser.py.
"""

import json
import math
import os
import struct
import sys

import torch
import torch.nn.functional as F

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "engine", "golden")
STEPS = 5
CUT = 13  # where the second document of a packed sequence begins

BASE = dict(layers=2, hidden=48, heads=4, kv_heads=2, head_dim=32, ffn=80, vocab=97, tied=True,
            theta=1e4, scaling=None, eps=1e-5, qkv_bias=False, qk_norm=False, window=0,
            z_loss=0.0, packed=False)
CASES = {
    "llama": {},
    "qwen2": dict(qkv_bias=True, tied=False),
    "qwen3": dict(qk_norm=True, eps=1e-6, theta=1e6),
    "mistral": dict(window=7, tied=False),
    "llama3": dict(scaling=dict(factor=8.0, low=1.0, high=4.0, context=64), z_loss=1e-3),
    "packed": dict(packed=True),
}
TRAIN = dict(steps=10, length=40, batch=4, lr=1e-2, min_lr=0.0, warmup=2, wd=0.1, clip=1.0,
             betas=(0.9, 0.95), adam_eps=1e-8)


def load_safetensors(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = bytearray(f.read())
    out = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        assert info["dtype"] == "F32"
        out[name] = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4,
                                     offset=begin).reshape(info["shape"]).clone()
    return out


def batch(case, step):
    t = torch.arange(TRAIN["length"] + 1)
    first = step * TRAIN["batch"]
    tokens = torch.stack([(31 * s * s + 7 * t * t + 3 * t * s + 13 * t) % case["vocab"]
                          for s in range(first, first + TRAIN["batch"])])
    t = t[:-1]
    s = torch.arange(first, first + TRAIN["batch"])[:, None]
    masked = (s + t) % 11 == 0
    positions, segments = t, torch.zeros_like(t)
    if case["packed"]:
        masked |= t == CUT - 1
        positions = torch.where(t >= CUT, t - CUT, t)
        segments = (t >= CUT).long()
    targets = tokens[:, 1:].masked_fill(masked, -100)
    return tokens[:, :-1], targets, positions, segments


def rms_norm(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def rope(x, positions, case):
    """x: [B, heads, T, D], rotated in two halves."""
    d = x.shape[-1]
    f = case["theta"] ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    s = case["scaling"]
    if s:
        wavelength = 2 * math.pi / f
        smooth = (s["context"] / wavelength - s["low"]) / (s["high"] - s["low"])
        blended = (1 - smooth) * f / s["factor"] + smooth * f
        blended = torch.where(wavelength > s["context"] / s["low"], f / s["factor"], blended)
        f = torch.where(wavelength < s["context"] / s["high"], f, blended)
    angle = positions[:, None].double() * f
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def logits(case, w, tokens, positions, segments):
    n, length = tokens.shape
    d, heads, kv = case["head_dim"], case["heads"], case["kv_heads"]
    t = torch.arange(length)
    allowed = t[None, :] <= t[:, None]
    if case["window"]:
        allowed &= t[None, :] > t[:, None] - case["window"]
    allowed &= segments[None, :] == segments[:, None]
    h = w["embedding.weight"][tokens]
    for i in range(case["layers"]):
        p = f"layers.{i}."

        def project(x, name, count):
            y = x @ w[p + f"attention.{name}.weight"].T
            if case["qkv_bias"]:
                y = y + w[p + f"attention.{name}.bias"]
            return y.view(n, length, count, d).transpose(1, 2)

        x = rms_norm(h, w[p + "attention_norm.weight"], case["eps"])
        q, k, v = project(x, "q", heads), project(x, "k", kv), project(x, "v", kv)
        if case["qk_norm"]:
            q = rms_norm(q, w[p + "attention.q_norm.weight"], case["eps"])
            k = rms_norm(k, w[p + "attention.k_norm.weight"], case["eps"])
        q, k = rope(q, positions, case), rope(k, positions, case)
        k, v = (z.repeat_interleave(heads // kv, 1) for z in (k, v))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(d)).masked_fill(~allowed, -math.inf)
        o = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, heads * d)
        h = h + o @ w[p + "attention.out.weight"].T
        x = rms_norm(h, w[p + "mlp_norm.weight"], case["eps"])
        y = F.silu(x @ w[p + "mlp.gate.weight"].T) * (x @ w[p + "mlp.up.weight"].T)
        h = h + y @ w[p + "mlp.down.weight"].T
    h = rms_norm(h, w["final_norm.weight"], case["eps"])
    return h @ w["embedding.weight" if case["tied"] else "lm_head.weight"].T


def forward(case, w, tokens, targets, positions, segments):
    """Mean loss over the unmasked targets; with z-loss as the trainer adds it."""
    y, targets = logits(case, w, tokens, positions, segments).flatten(0, 1), targets.flatten()
    loss = F.cross_entropy(y, targets, ignore_index=-100, reduction="sum")
    z = (y.logsumexp(-1).pow(2) * (targets >= 0)).sum()
    return (loss + case["z_loss"] * z) / (targets >= 0).sum()


def rate(step):
    """The linear schedule with warm-up."""
    if step < TRAIN["warmup"]:
        return TRAIN["lr"] * (step + 1) / TRAIN["warmup"]
    x = (step - TRAIN["warmup"]) / (TRAIN["steps"] - TRAIN["warmup"])
    return TRAIN["lr"] + (TRAIN["min_lr"] - TRAIN["lr"]) * x


def summary(w):
    """Norm and a few elements of every gradient."""
    out = {}
    for name, x in sorted(w.items()):
        g = x.grad.flatten()
        spots = [0, g.numel() // 3, g.numel() // 2, g.numel() - 1]
        out[name] = dict(norm=g.norm().item(), samples={str(i): g[i].item() for i in spots})
    return out


def train(case, weights, dtype):
    w = {name: x.to(dtype).requires_grad_() for name, x in weights.items()}
    matrices = [x for name, x in w.items() if x.dim() == 2 and "embedding" not in name and
                "lm_head" not in name]
    others = [x for x in w.values() if all(x is not m for m in matrices)]
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=TRAIN["wd"]),
                                   dict(params=others, weight_decay=0.0)],
                                  betas=TRAIN["betas"], eps=TRAIN["adam_eps"])
    out = dict(torch=torch.__version__, losses=[], grad_norms=[], gradients={})
    for step in range(STEPS):
        loss = forward(case, w, *batch(case, step))
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            out["gradients"] = summary(w)
        norm = torch.nn.utils.clip_grad_norm_(w.values(), TRAIN["clip"])
        out["losses"].append(loss.item())
        out["grad_norms"].append(norm.item())
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
    return out


def check(cases, run):
    """Holds every case's golden file against run(case, weights, dtype)."""
    dump, write = sys.argv[1], "--write" in sys.argv
    worst = 0.0
    for name, case in cases.items():
        weights = load_safetensors(f"{dump}/{name}.safetensors")
        exact, rounded = (run(case, weights, t) for t in (torch.float64, torch.float32))
        path = os.path.join(GOLDEN, name + ".json")
        if write:
            with open(path, "w") as f:
                json.dump(exact, f, indent=1)
                f.write("\n")
        with open(path) as f:
            golden = json.load(f)
        away = max(abs(a / b - 1) for a, b in zip(exact["losses"], golden["losses"], strict=True))
        for tensor, g in golden["gradients"].items():
            away = max(away, abs(exact["gradients"][tensor]["norm"] / g["norm"] - 1))
        rounding = max(abs(a / b - 1) for a, b in zip(exact["losses"], rounded["losses"], strict=True))
        print(f"{name:8s} golden against PyTorch {torch.__version__}: {away:.1e} relative; "
              f"PyTorch fp32 against fp64: {rounding:.1e}")
        worst = max(worst, away)
    if worst > 1e-5:
        sys.exit(f"the golden files are {worst:.1e} away from PyTorch, more than 1e-5")


if __name__ == "__main__":
    check({name: BASE | change for name, change in CASES.items()}, train)
