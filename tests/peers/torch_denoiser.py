# SPDX-License-Identifier: Apache-2.0
"""Denoisers in PyTorch, written from their definition: as torch_model.py, which says how it is run.

Independent of the trainer are the network, the cutting into patches, Karras et al.'s preconditioning
and flow matching's, and what the network is told of the noise.
"""

import math

import torch
import torch.nn.functional as F

from torch_model import check, rms_norm, summary

BASE = dict(layers=2, hidden=48, heads=4, kv_heads=4, head_dim=32, theta=1e4, eps=1e-5, qkv_bias=False,
            qk_norm=False, classes=0)
CASES = {
    "edm": dict(shape=(1, 8, 12), patch=4, classes=4, qkv_bias=True),
    "velocity": dict(shape=(3, 6, 4), patch=2, kv_heads=2, qk_norm=True),
}
COUNT, FEATURES = 4, 256


def edm(x, z, noise):
    """Input, target and level of sigma_data = 1/2, sigma from .002 to 80."""
    total = math.sqrt(0.25 + noise * noise)
    skip, out = 0.25 / (total * total), noise * 0.5 / total
    y = x + noise * z
    return y / total, (x - skip * y) / out, 1000 * math.log(noise / 0.002) / math.log(80 / 0.002)


def flow(x, z, noise):
    """x_t = (1 - t) x + t z and its velocity."""
    t = noise / (1 + noise)
    return (1 - t) * x + t * z, z - x, 1000 * t


def patches(case, picture):
    """[C, H, W] to rows of (c, dy, dx)."""
    (channels, height, width), p = case["shape"], case["patch"]
    cut = picture.view(channels, height // p, p, width // p, p)
    return cut.permute(1, 3, 0, 2, 4).reshape(-1, channels * p * p)


def batch(case):
    inputs, targets, features, labels, weights = [], [], [], [], []
    i = torch.arange(math.prod(case["shape"]), dtype=torch.float64)
    for s in range(COUNT):
        x = 0.6 * torch.sin(0.37 * i + 1.9 * s)
        z = math.sqrt(2) * torch.cos(1.3 * i + 0.7 * s * s)
        seen, target, level = (edm if case["classes"] else flow)(x, z, math.exp(0.9 * s - 1.5))
        inputs.append(patches(case, seen))
        targets.append(patches(case, target))
        angle = level * 1e4 ** (-torch.arange(FEATURES // 2, dtype=torch.float64) / (FEATURES // 2))
        features.append(torch.cat([angle.cos(), angle.sin()]))
        labels.append(2 * s % (case["classes"] + 1))
        weights.append(0.0 if s == 1 else 0.5 + 0.25 * s)
    return (torch.stack(inputs), torch.stack(targets), torch.stack(features), torch.tensor(labels),
            torch.tensor(weights, dtype=torch.float64))


def rope(x, case):
    """x: [B, heads, T, D]: the first half of the pairs turns with the row, the second with the column."""
    d = x.shape[-1]
    columns = case["shape"][2] // case["patch"]
    f = case["theta"] ** (-4 * torch.arange(d // 4, dtype=torch.float64) / d)
    place = torch.arange(x.shape[-2])
    angle = torch.cat([(place // columns)[:, None] * f, (place % columns)[:, None] * f], -1)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def network(case, w, values, features, labels):
    n, length = values.shape[:2]
    d, heads, kv = case["head_dim"], case["heads"], case["kv_heads"]
    e = F.silu(features @ w["time.in.weight"].T + w["time.in.bias"])
    c = e @ w["time.out.weight"].T + w["time.out.bias"]
    if case["classes"]:
        c = c + w["labels.weight"][labels]
    c = F.silu(c)

    def modulated(h, shift, scale):
        return rms_norm(h, 1, case["eps"]) * (1 + scale) + shift

    def modulation(name, parts):
        return (c @ w[name + ".weight"].T)[:, None, :].chunk(parts, -1)

    h = values @ w["patches.weight"].T + w["patches.bias"]
    for i in range(case["layers"]):
        p = f"layers.{i}."
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation(p + "modulation", 6)

        def project(x, name, count):
            y = x @ w[p + f"attention.{name}.weight"].T
            if case["qkv_bias"]:
                y = y + w[p + f"attention.{name}.bias"]
            return y.view(n, length, count, d).transpose(1, 2)

        x = modulated(h, shift1, scale1)
        q, k, v = project(x, "q", heads), project(x, "k", kv), project(x, "v", kv)
        if case["qk_norm"]:
            q = rms_norm(q, w[p + "attention.q_norm.weight"], case["eps"])
            k = rms_norm(k, w[p + "attention.k_norm.weight"], case["eps"])
        q, k = rope(q, case), rope(k, case)
        k, v = (z.repeat_interleave(heads // kv, 1) for z in (k, v))
        o = ((q @ k.transpose(-1, -2) / math.sqrt(d)).softmax(-1) @ v).transpose(1, 2)
        h = h + gate1 * (o.reshape(n, length, heads * d) @ w[p + "attention.out.weight"].T)
        x = modulated(h, shift2, scale2)
        y = F.silu(x @ w[p + "mlp.gate.weight"].T) * (x @ w[p + "mlp.up.weight"].T)
        h = h + gate2 * (y @ w[p + "mlp.down.weight"].T)
    return modulated(h, *modulation("final_modulation", 2)) @ w["head.weight"].T + w["head.bias"]


def run(case, weights, dtype):
    """Loss and gradients: the mean over the samples that count of each one's weighted mean square."""
    w = {name: x.to(dtype).requires_grad_() for name, x in weights.items()}
    values, targets, features, labels, sample_weights = batch(case)
    f = network(case, w, values.to(dtype), features.to(dtype), labels)
    squares = (f - targets.to(dtype)).pow(2).mean((1, 2))
    loss = (squares * sample_weights.to(dtype)).sum() / (sample_weights > 0).sum()
    loss.backward()
    return dict(torch=torch.__version__, losses=[loss.item()], gradients=summary(w))


if __name__ == "__main__":
    check({name: BASE | change for name, change in CASES.items()}, run)
