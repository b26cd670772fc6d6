# SPDX-License-Identifier: Apache-2.0
"""PyTorch's speed on this GPU, in the shapes that `trunkline bench` prints: attention by SDPA's flash
and cuDNN backends, or a compiled model's training step. Prints "value NAME VALUE UNIT" rows, and exits
with 77 where there is no PyTorch.

  python3 tests/gpu/torch_speed.py --attention
  python3 tests/gpu/torch_speed.py --train SHAPE LENGTH MICRO_BATCH     124m, 0.5b, 1.5b or 3b;
                                      smaller ones where memory does not hold them

FLOPs are counted as in `trunkline bench`: 4 B H T^2 D for attention forward, 2.5 times that backward,
half of it where causal.
"""

import argparse
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError as error:
    print(f"no PyTorch here: {error}")
    sys.exit(77)

# As in configs/bench-*.toml.
SHAPES = {
    "124m": dict(layers=12, hidden=768, heads=12, kv_heads=12, ffn=2048, vocab=50304, bias=False,
                 theta=1e4),
    "0.5b": dict(layers=24, hidden=896, heads=14, kv_heads=2, ffn=4864, vocab=151936, bias=True,
                 theta=1e6),
    "1.5b": dict(layers=28, hidden=1536, heads=12, kv_heads=2, ffn=8960, vocab=151936, bias=True,
                 theta=1e6),
    "3b": dict(layers=36, hidden=2048, heads=16, kv_heads=2, ffn=11008, vocab=151936, bias=True,
               theta=1e6),
}
TOKENS = 65536  # of a step


def seconds(work, runs=10):
    for _ in range(3):
        work()
    times = []
    for _ in range(runs):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def value(name, number, unit):
    print("value", name, number, unit, flush=True)


def attention():
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        for d in (64, 128):
            for causal in (True, False):
                for length in (1024, 2048, 4096, 8192, 16384):
                    batch, heads = 16384 // length, 2048 // d
                    q, k, v = (torch.randn(batch, heads, length, d, device="cuda",
                                           dtype=torch.bfloat16, requires_grad=True)
                               for _ in range(3))
                    name = (f"{backend.name.split('_')[0].lower()}_d{d}_t{length}_"
                            + ("causal" if causal else "full"))
                    try:
                        with sdpa_kernel(backend):
                            out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
                            d_out = torch.randn_like(out)
                            forward = seconds(
                                lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal))
                            backward = seconds(
                                lambda: torch.autograd.grad(out, (q, k, v), d_out,
                                                            retain_graph=True))
                    except RuntimeError as error:
                        print(f"{name}: not available ({str(error).splitlines()[0]})")
                        continue
                    flops = 4 * batch * heads * length**2 * d * (0.5 if causal else 1.0)
                    value(f"{name}_forward", f"{flops / forward / 1e12:.1f}", "TFLOP/s")
                    value(f"{name}_backward", f"{2.5 * flops / backward / 1e12:.1f}", "TFLOP/s")


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        h = s["hidden"]
        self.heads, self.kv_heads, self.d = s["heads"], s["kv_heads"], h // s["heads"]
        self.norm1, self.norm2 = nn.RMSNorm(h, eps=1e-5), nn.RMSNorm(h, eps=1e-5)
        self.qkv = nn.Linear(h, (self.heads + 2 * self.kv_heads) * self.d, bias=s["bias"])
        self.out = nn.Linear(h, h, bias=False)
        self.gate_up = nn.Linear(h, 2 * s["ffn"], bias=False)
        self.down = nn.Linear(s["ffn"], h, bias=False)

    def forward(self, x, cos, sin):
        n, t, h = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, t, -1, self.d).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], 1)

        def rotate(y):
            a, b = y.chunk(2, -1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(y.dtype)

        o = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True,
                                           enable_gqa=self.heads != self.kv_heads)
        x = x + self.out(o.transpose(1, 2).reshape(n, t, h))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, s, length):
        super().__init__()
        self.embed = nn.Embedding(s["vocab"], s["hidden"])
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s["layers"]))
        self.norm = nn.RMSNorm(s["hidden"], eps=1e-5)
        d = s["hidden"] // s["heads"]
        angle = torch.arange(length)[:, None] * s["theta"] ** (-torch.arange(0, d, 2) / d)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def train(name, length, batch):
    s = SHAPES[name]
    micro_batches = TOKENS // (batch * length)
    net = torch.compile(Model(s, length).cuda())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    tokens = torch.randint(s["vocab"], (batch, length + 1), device="cuda")

    def step():
        for _ in range(micro_batches):
            with torch.autocast("cuda", torch.bfloat16):
                loss = net(tokens[:, :-1], tokens[:, 1:]) / micro_batches
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    t = seconds(step)
    value("micro_batch", batch, "sequences")
    value("step", f"{t * 1e3:.1f}", "ms")
    value("tokens", f"{TOKENS / t:.0f}", "tokens/s")
    value("allocated", f"{torch.cuda.max_memory_allocated() / 2**30:.1f}", "GiB")


def main():
    parser = argparse.ArgumentParser()
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--attention", action="store_true")
    what.add_argument("--train", nargs=3, metavar=("SHAPE", "LENGTH", "MICRO_BATCH"))
    arguments = parser.parse_args()
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}")
    if arguments.attention:
        attention()
    else:
        shape, length, batch = arguments.train
        batch = int(batch)
        while batch > 0:
            try:
                train(shape, int(length), batch)
                return
            except torch.OutOfMemoryError:
                print(f"out of memory with micro-batches of {batch}")
                batch //= 2
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        sys.exit(77)


if __name__ == "__main__":
    main()
