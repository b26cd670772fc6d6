"""PyTorch's speed on this GPU, in the shapes that `trunkline bench` prints: attention by SDPA's flash
and cuDNN backends, and a compiled model's training step.

  python3 tests/gpu/torch_speed.py [--shapes 124m,0.5b,1.5b,3b]

FLOPs are counted as in `trunkline bench`: 4 B H T^2 D for attention forward, 2.5 times that backward,
half of it where causal.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# As in configs/bench-*.toml; batch: sequences of 4096 in a micro-batch, as run.sh has it.
SHAPES = {
    "124m": dict(layers=12, hidden=768, heads=12, kv_heads=12, ffn=2048, vocab=50304, bias=False,
                 theta=1e4, batch=8),
    "0.5b": dict(layers=24, hidden=896, heads=14, kv_heads=2, ffn=4864, vocab=151936, bias=True,
                 theta=1e6, batch=4),
    "1.5b": dict(layers=28, hidden=1536, heads=12, kv_heads=2, ffn=8960, vocab=151936, bias=True,
                 theta=1e6, batch=2),
    "3b": dict(layers=36, hidden=2048, heads=16, kv_heads=2, ffn=11008, vocab=151936, bias=True,
               theta=1e6, batch=1),
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


def attention():
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        for d in (64, 128):
            for causal in (True, False):
                for length in (1024, 2048, 4096, 8192, 16384):
                    batch, heads = 16384 // length, 2048 // d
                    q, k, v = (torch.randn(batch, heads, length, d, device="cuda",
                                           dtype=torch.bfloat16, requires_grad=True)
                               for _ in range(3))
                    name = backend.name.split("_")[0].lower()
                    row = f"torch {name}: heads of {d}, length {length}, " + (
                        "causal" if causal else "full")
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
                        print(f"{row}: not available ({str(error).splitlines()[0]})")
                        continue
                    flops = 4 * batch * heads * length**2 * d * (0.5 if causal else 1.0)
                    print(f"{row}: {flops / forward / 1e12:.1f} TFLOP/s forward, "
                          f"{2.5 * flops / backward / 1e12:.1f} backward")


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


def model(name, length):
    s = SHAPES[name]
    batch = s["batch"] * 4096 // length
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
    print(f"torch compiled {name}, {micro_batches} x {batch} x {length}: {t * 1e3:.1f} ms per step, "
          f"{TOKENS / t:.0f} tokens/s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="124m,0.5b,1.5b,3b")
    arguments = parser.parse_args()
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}")
    attention()
    for name in arguments.shapes.split(","):
        for length in (1024, 4096):
            try:
                model(name, length)
            except torch.OutOfMemoryError:
                print(f"torch compiled {name}, length {length}: out of memory")


if __name__ == "__main__":
    main()
