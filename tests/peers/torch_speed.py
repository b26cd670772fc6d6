# SPDX-License-Identifier: Apache-2.0
"""Training speed beside PyTorch on the CPU, in one run: the same model shapes, precisions, threads.

  python tests/peers/torch_speed.py --program build/trunkline [--threads 2] [--shapes 10m,124m]
      [--precisions fp32,bf16] [--no-compile]

For each shape and precision, `trunkline bench`, then PyTorch eager and compiled (fused AdamW, SDPA,
autocast for bf16 with fp32 weights), as tokens per second; the ratio is Trunkline over the faster of
the two. Run it on an otherwise idle machine.
"""

import argparse
import os
import re
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
from torch import nn

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SHAPES = {  # as in configs/bench-*.toml
    "10m": dict(layers=6, hidden=384, heads=6, ffn=1024, vocab=256, batch=8, length=256),
    "124m": dict(layers=12, hidden=768, heads=12, ffn=2048, vocab=50304, batch=2, length=1024),
}


def rope_table(length, d):
    angle = torch.arange(length)[:, None] * 1e4 ** (-torch.arange(0, d, 2) / d)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        h = s["hidden"]
        self.heads = s["heads"]
        self.norm1, self.norm2 = nn.RMSNorm(h, eps=1e-5), nn.RMSNorm(h, eps=1e-5)
        self.qkv = nn.Linear(h, 3 * h, bias=False)
        self.out = nn.Linear(h, h, bias=False)
        self.gate_up = nn.Linear(h, 2 * s["ffn"], bias=False)
        self.down = nn.Linear(s["ffn"], h, bias=False)

    def forward(self, x, cos, sin):
        n, t, h = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, h // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        o = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v,
                                           is_causal=True)
        x = x + self.out(o.transpose(1, 2).reshape(n, t, h))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.embed = nn.Embedding(s["vocab"], s["hidden"])
        self.blocks = nn.ModuleList(Block(s) for _ in range(s["layers"]))
        self.norm = nn.RMSNorm(s["hidden"], eps=1e-5)
        self.head = nn.Linear(s["hidden"], s["vocab"], bias=False)
        self.head.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.02)
        cos, sin = rope_table(s["length"], s["hidden"] // s["heads"])
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def torch_rate(shape, precision, compiled, steps):
    torch.manual_seed(1)
    model = Model(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    data = torch.randint(shape["vocab"], (shape["batch"], shape["length"] + 1))
    forward = torch.compile(model) if compiled else model
    seconds = []
    for i in range(steps + 2):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = forward(data[:, :-1], data[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if i >= 2:
            seconds.append(time.perf_counter() - start)
    return shape["batch"] * shape["length"] / statistics.median(seconds)


def trunkline_rate(program, name, precision, threads, steps):
    command = [program, "bench", os.path.join(ROOT, f"configs/bench-{name}.toml"),
               "--set", f"precision.compute={precision}", "--set", f"run.threads={threads}",
               "--steps", str(steps)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"tokens/s\s+([\d.]+)", out).group(1))
    roof = float(re.search(r"([\d.]+) % of the roof", out).group(1))
    return rate, roof


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=os.path.join(ROOT, "build/trunkline"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--shapes", default="10m,124m")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads; tokens per second")
    print(f"{'shape':6s} {'':5s} {'trunkline':>10s} {'of roof':>8s} {'eager':>8s} {'compiled':>9s} "
          f"{'ratio':>6s}")
    for name in args.shapes.split(","):
        for precision in args.precisions.split(","):
            ours, roof = trunkline_rate(args.program, name, precision, args.threads, args.steps)
            eager = torch_rate(SHAPES[name], precision, False, args.steps)
            compiled = 0.0
            if not args.no_compile:
                compiled = torch_rate(SHAPES[name], precision, True, args.steps)
            print(f"{name:6s} {precision:5s} {ours:10.0f} {roof:7.1f}% {eager:8.0f} "
                  f"{compiled:9.0f} {ours / max(eager, compiled):6.2f}", flush=True)


if __name__ == "__main__":
    main()
