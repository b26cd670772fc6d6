# SPDX-License-Identifier: Apache-2.0
"""Training speed of a denoiser beside compiled PyTorch on the CPU, in one run.

  python tests/peers/denoise_speed.py --program build/trunkline
      [--config configs/fashion.toml] [--threads 2] [--rounds 3] [--steps 10]

The network is that of src/convert/denoiser.py, which tests/peers/denoiser_check.py shows to be the
same; fp32, fused AdamW, clipping and an average of weights on both sides, a global batch in parts
of the config's micro-batch and as a whole. Rounds of `trunkline bench` and of PyTorch (torch.compile)
take turns; pictures per second are of the median step of a round, and the median of the rounds is
shown. Both make their noise anew at each step. Run it on an otherwise idle machine.
"""

import argparse
import os
import re
import statistics
import sys
import time
import tomllib

import torch

from command import run

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "src", "convert"))
from denoiser import Denoiser  # noqa: E402

SIGMA_MIN, SIGMA_MAX, P_MEAN, P_STD = 0.002, 80.0, -1.2, 1.2


class Training:
    """Steps of PyTorch on made-up pictures, trained as EDM's."""

    def __init__(self, config, micro_batch):
        torch.manual_seed(1)
        model, objective, optimizer = (config[k] for k in ("model", "objective", "optimizer"))
        head_dim = model.get("head_dim", model["hidden"] // model["heads"])
        self.network = Denoiser({
            "model": {"kv_heads": model["heads"], "head_dim": head_dim, "features": 256,
                      "classes": 0, "qkv_bias": False, "qk_norm": False, "rope_theta": 1e4,
                      "norm_eps": 1e-5} | model,
            "process": {"name": "edm", "sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX,
                        "sigma_data": objective.get("sigma_data", 0.5),
                        "times": {"low": SIGMA_MIN, "sample": SIGMA_MIN, "high": SIGMA_MAX}},
            "prediction": "edm", "knows_no_label": True})
        self.forward = torch.compile(self.network)
        self.parameters = list(self.network.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.decay = optimizer.get("ema", 0.0)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=optimizer["lr"], betas=(0.9, optimizer.get("beta2", 0.95)),
            weight_decay=optimizer.get("weight_decay", 0.1), fused=True)
        self.batch, self.micro_batch = config["train"]["global_batch_size"], micro_batch
        self.drop = objective.get("label_drop", 0.0)
        count = 4 * self.batch
        self.pictures = torch.rand(count, *model["shape"]) * 2 - 1
        self.labels = torch.randint(max(model.get("classes", 0), 1), (count,))
        self.data = objective.get("sigma_data", 0.5)

    def part(self, picked):
        clean, labels = self.pictures[picked], self.labels[picked]
        labels = torch.where(torch.rand(len(picked)) < self.drop, self.network.classes, labels)
        noise = torch.randn(len(picked), dtype=torch.float64).mul(P_STD).add(P_MEAN).exp()
        noise = noise.clamp(SIGMA_MIN, SIGMA_MAX)
        level = 1000 * (noise / SIGMA_MIN).log() / torch.tensor(SIGMA_MAX / SIGMA_MIN).log()
        noise = noise.float()[:, None, None, None]
        total = (noise.square() + self.data ** 2).sqrt()
        x_hat = clean + noise * torch.randn_like(clean)
        target = (clean - (self.data / total) ** 2 * x_hat) / (noise * self.data / total)
        return x_hat / total, level, labels, target

    def step(self):
        parts = self.batch // self.micro_batch
        for _ in range(parts):
            x, level, labels, target = self.part(
                torch.randint(len(self.pictures), (self.micro_batch,)))
            loss = (self.forward(x, level, labels) - target).square().mean()
            (loss / parts).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters],
                                 1 - self.decay)
        return loss.item()

    def rate(self, steps):
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - start)
        return self.batch / statistics.median(seconds)


def trunkline_rate(args, micro_batch):
    out = run(args.program, "bench", args.config, "--steps", str(args.steps), "--set",
              "precision.compute=fp32", f"run.threads={args.threads}",
              f"train.micro_batch_size={micro_batch}").decode()
    return tuple(float(re.search(pattern, out).group(1))
                 for pattern in (r"samples/s\s+([\d.]+)", r"([\d.]+) % of the roof"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=os.path.join(ROOT, "build/trunkline"))
    parser.add_argument("--config", default=os.path.join(ROOT, "configs/fashion.toml"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with open(args.config, "rb") as file:
        config = tomllib.load(file)
    train = config["train"]
    sizes = sorted({train["micro_batch_size"], train["global_batch_size"]})
    trainings = {size: Training(config, size) for size in sizes}
    for training in trainings.values():
        training.rate(2)  # compiles
    ours, roof, theirs = ({size: [] for size in sizes} for _ in range(3))
    for _ in range(args.rounds):
        for size in sizes:
            rate, share = trunkline_rate(args, size)
            ours[size].append(rate)
            roof[size].append(share)
            theirs[size].append(trainings[size].rate(args.steps))
    print(f"PyTorch {torch.__version__}, {args.threads} threads, batches of "
          f"{train['global_batch_size']}; pictures per second, medians of {args.rounds} rounds")
    print(f"{'parts of':>8s} {'trunkline':>10s} {'of roof':>8s} {'compiled':>9s}")
    middle = statistics.median
    for size in sizes:
        print(f"{size:8d} {middle(ours[size]):10.1f} {middle(roof[size]):7.1f}% "
              f"{middle(theirs[size]):9.1f}")
    best = [max(middle(rates[size]) for size in sizes) for rates in (ours, theirs)]
    print(f"best against best: {best[0] / best[1]:.2f}")


if __name__ == "__main__":
    main()
