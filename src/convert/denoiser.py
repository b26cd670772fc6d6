# SPDX-License-Identifier: Apache-2.0
"""A denoiser trained by Trunkline, in PyTorch alone.

    model = Denoiser.load("FOLDER")                     # config.json and model.safetensors
    pictures = model.sample(16, guidance=1.5)           # [16, C, H, W]
    clean = model.denoise(x_hat, noise, labels)         # D(x_hat; noise) = E[x_0 | x_hat]

Noise turns data x_0 into x_t = alpha(t) x_0 + sigma(t) z, z ~ N(0, I). Every process is the same in
x_hat = x_t / alpha = x_0 + noise z, noise = sigma / alpha, which the denoiser is asked in. The
network gives F, and D(x_hat; noise) = skip x_hat + out F(in x_hat; level).
"""

import json
import math
import os

import torch
import torch.nn.functional as F
from torch import nn

TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def read_safetensors(path):
    """Returns the tensors of a file by name."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        (begin, end), dtype = entry["data_offsets"], TYPES[entry["dtype"]]
        count = (end - begin) // dtype.itemsize
        tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=begin).view(
            entry["shape"])
    return tensors


class Process:
    """How data becomes noise, and what the network's output stands for. Numbers are floats."""

    def __init__(self, config, prediction):
        self.config, self.prediction = config, prediction
        self.name = config["name"]
        if self.name not in ("vp", "subvp", "ve", "edm", "flow", "cosine"):
            raise ValueError(f"no process {self.name!r}")
        if prediction not in ("noise", "edm", "velocity"):
            raise ValueError(f"no prediction {prediction!r}")
        self.interpolant = self.name in ("flow", "cosine")
        # Times of training, from low to high; samples are taken down to `sample`, 0 being the data.
        self.low, self.sample, self.high = (config["times"][k] for k in ("low", "sample", "high"))
        self.noise_min, self.noise_max = self.noise(self.low), self.noise(self.high)

    def at(self, t):
        """Returns alpha, sigma, and their derivatives by t."""
        c = self.config
        if self.name in ("vp", "subvp"):
            rise = c["beta_max"] - c["beta_min"]
            decay, rate = rise * t * t / 4 + c["beta_min"] * t / 2, (c["beta_min"] + rise * t) / 2
            alpha, variance = math.exp(-decay), -math.expm1(-2 * decay)
            if self.name == "subvp":
                return alpha, variance, -alpha * rate, 2 * alpha * alpha * rate
            sigma = math.sqrt(variance)
            return alpha, sigma, -alpha * rate, alpha * alpha * rate / sigma
        if self.name == "ve":
            rate = math.log(c["sigma_max"] / c["sigma_min"])
            sigma = c["sigma_min"] * math.exp(rate * t)
            return 1.0, sigma, 0.0, rate * sigma
        if self.name == "edm":
            return 1.0, t, 0.0, 1.0
        if self.name == "flow":
            return 1.0 - t, t, -1.0, 1.0
        turn = math.pi / 2
        cos, sin = math.cos(turn * t), math.sin(turn * t)
        return cos, sin, -turn * sin, turn * cos

    def noise(self, t):
        alpha, sigma, _, _ = self.at(t)
        return sigma / alpha

    def time(self, noise):
        """Returns the t at which sigma / alpha is `noise`."""
        c = self.config
        if self.name in ("vp", "subvp"):
            decay = math.log1p(noise * noise) / 2 if self.name == "vp" else math.asinh(noise / 2)
            low, rise = c["beta_min"], c["beta_max"] - c["beta_min"]
            return 4 * decay / (low + math.sqrt(low * low + 4 * rise * decay))
        if self.name == "ve":
            return math.log(noise / c["sigma_min"]) / math.log(c["sigma_max"] / c["sigma_min"])
        if self.name == "edm":
            return noise
        return noise / (1 + noise) if self.name == "flow" else 2 / math.pi * math.atan(noise)

    def level(self, noise):
        """Returns what the network is told of the noise: 0 at the least, 1000 at the most."""
        if self.interpolant:
            return 1000 * self.time(noise)
        return 1000 * math.log(noise / self.noise_min) / math.log(self.noise_max / self.noise_min)

    def frame(self, noise):
        """Returns in, skip and out of D = skip x_hat + out F(in x_hat; level)."""
        data = self.config["sigma_data"]
        total = math.hypot(data, noise)
        alpha, sigma, d_alpha, d_sigma = self.at(self.time(noise))
        scale = 1 / total if self.name in ("ve", "edm") else alpha
        if self.prediction == "noise":
            return scale, 1.0, -noise
        if self.prediction == "edm":
            return 1 / total, (data / total) ** 2, noise * data / total
        turn = d_sigma * alpha - sigma * d_alpha
        return scale, d_sigma * alpha / turn, -sigma / turn

    def path(self, steps, rho=7.0):
        """Returns (t, alpha, sigma, derivatives) from the most noise down: of an interpolant's own
        x_t at even times, else of x_hat at Karras et al.'s noises."""
        if self.interpolant:
            last = steps - 1 if self.sample > 0 else steps
            times = [self.high + i / max(last, 1) * (self.sample - self.high) for i in range(steps)]
            return [(t, *self.at(t)) for t in times]
        most = self.noise_max ** (1 / rho)
        least = max(self.noise_min, self.noise(max(self.sample, self.low))) ** (1 / rho)
        noises = [(most + i / max(steps - 1, 1) * (least - most)) ** rho for i in range(steps)]
        return [(noise, 1.0, noise, 0.0, 1.0) for noise in noises]


def rms_norm(x, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def rope_angles(model):
    """Angles of the patches, [T, head_dim / 2]: the first half by row, the other by column."""
    d, patch = model["head_dim"], model["patch"]
    rows, columns = model["shape"][1] // patch, model["shape"][2] // patch
    frequency = model["rope_theta"] ** (-4 / d * torch.arange(d // 4, dtype=torch.float64))
    place = torch.arange(rows * columns, dtype=torch.float64)[:, None]
    by_row = torch.div(place, columns, rounding_mode="floor") * frequency
    return torch.cat([by_row, place % columns * frequency], -1)


class Block(nn.Module):
    def __init__(self, m):
        super().__init__()
        hidden, d, ffn = m["hidden"], m["head_dim"], m["ffn"]
        self.d, self.eps, self.group = d, m["norm_eps"], m["heads"] // m["kv_heads"]
        q, kv, bias = m["heads"] * d, m["kv_heads"] * d, m["qkv_bias"]
        self.attention = nn.ModuleDict({"q": nn.Linear(hidden, q, bias=bias),
                                        "k": nn.Linear(hidden, kv, bias=bias),
                                        "v": nn.Linear(hidden, kv, bias=bias),
                                        "out": nn.Linear(q, hidden, bias=False)})
        if m["qk_norm"]:
            self.attention["q_norm"] = nn.RMSNorm(d, eps=self.eps)
            self.attention["k_norm"] = nn.RMSNorm(d, eps=self.eps)
        self.mlp = nn.ModuleDict({"gate": nn.Linear(hidden, ffn, bias=False),
                                  "up": nn.Linear(hidden, ffn, bias=False),
                                  "down": nn.Linear(ffn, hidden, bias=False)})
        self.modulation = nn.Linear(hidden, 6 * hidden, bias=False)

    def attend(self, x, cos, sin):
        a = self.attention
        q, k, v = (a[n](x).unflatten(-1, (-1, self.d)).transpose(1, 2) for n in ("q", "k", "v"))
        if "q_norm" in a:
            q, k = a["q_norm"](q), a["k_norm"](k)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.group > 1:
            k, v = (t.repeat_interleave(self.group, 1) for t in (k, v))
        o = F.scaled_dot_product_attention(q, k, v)
        return a["out"](o.transpose(1, 2).flatten(2))

    def forward(self, x, s, cos, sin):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(s)[:, None].chunk(6, -1)
        y = (rms_norm(x, self.eps) * (1 + scale1) + shift1).to(x.dtype)
        x = x + gate1 * self.attend(y, cos, sin)
        y = (rms_norm(x, self.eps) * (1 + scale2) + shift2).to(x.dtype)
        m = self.mlp
        return x + gate2 * m["down"](F.silu(m["gate"](y)) * m["up"](y))


class Denoiser(nn.Module):
    """The network, forward(), and around it D, denoise(), and a sampler, sample()."""

    def __init__(self, config):
        super().__init__()
        self.config, m = config, config["model"]
        self.process = Process(config["process"], config["prediction"])
        self.shape, self.patch, self.classes = m["shape"], m["patch"], m["classes"]
        hidden, values = m["hidden"], self.shape[0] * self.patch ** 2
        self.time = nn.ModuleDict({"in": nn.Linear(m["features"], hidden),
                                   "out": nn.Linear(hidden, hidden)})
        if self.classes > 0:
            self.labels = nn.Embedding(self.classes + 1, hidden)  # the last: without a class
        self.patches = nn.Linear(values, hidden)
        self.layers = nn.ModuleList(Block(m) for _ in range(m["layers"]))
        self.final_modulation = nn.Linear(hidden, 2 * hidden, bias=False)
        self.head = nn.Linear(hidden, values)
        angles = rope_angles(m)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    @classmethod
    def load(cls, folder):
        """Returns the denoiser of an exported folder, on the CPU in float32, in eval mode."""
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            model = cls(json.load(file))
        model.load_state_dict(read_safetensors(os.path.join(folder, "model.safetensors")))
        return model.eval()

    def forward(self, x, level, labels):
        """F of pictures x [N, C, H, W], levels [N] (float64), labels [N] (`classes`: none)."""
        weight = self.head.weight
        half = self.time["in"].in_features // 2
        wave = 1e4 ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = level.to("cpu", torch.float64)[:, None] * wave
        features = torch.cat([angle.cos(), angle.sin()], -1).to(weight)
        c = self.time["out"](F.silu(self.time["in"](features)))
        if self.classes > 0:
            c = c + self.labels(labels)
        s = F.silu(c)
        channels, p = self.shape[0], self.patch
        rows, columns = (side // p for side in self.shape[1:])
        cut = x.to(weight).reshape(-1, channels, rows, p, columns, p).permute(0, 2, 4, 1, 3, 5)
        h = self.patches(cut.reshape(-1, rows * columns, channels * p * p))
        for layer in self.layers:
            h = layer(h, s, self.cos, self.sin)
        shift, scale = self.final_modulation(s)[:, None].chunk(2, -1)
        eps = self.config["model"]["norm_eps"]
        f = self.head((rms_norm(h, eps) * (1 + scale) + shift).to(weight))
        f = f.reshape(-1, rows, columns, channels, p, p).permute(0, 3, 1, 4, 2, 5)
        return f.reshape(-1, *self.shape)

    def denoise(self, x_hat, noise, labels=None, guidance=1.0):
        """D(x_hat; noise), [N, C, H, W]. noise: a number, or one for each sample. labels: [N], or
        None: without one. guidance: D_u + guidance (D_c - D_u), u without labels."""
        count = x_hat.shape[0]
        noises = torch.as_tensor(noise, dtype=torch.float64).expand(count).tolist()
        none = torch.full([count], self.classes, device=x_hat.device)
        if self.classes > 0 and not self.config["knows_no_label"] and (
                labels is None or guidance != 1.0):
            raise ValueError("trained with label_drop = 0, it knows no samples without a label")
        labels = none if labels is None else torch.as_tensor(labels, device=x_hat.device)
        level = torch.tensor([self.process.level(n) for n in noises], dtype=torch.float64)
        frames = torch.tensor([self.process.frame(n) for n in noises], dtype=torch.float64)
        scale, skip, out = frames.to(x_hat).T[:, :, None, None, None]
        f = self(scale * x_hat, level, labels).to(x_hat)
        if guidance != 1.0:
            without = self(scale * x_hat, level, none).to(x_hat)
            f = without + guidance * (f - without)
        return skip * x_hat + out * f

    @torch.no_grad()
    def sample(self, count, labels=None, guidance=1.0, steps=18, normals=None, generator=None):
        """Draws samples by Heun's method along the probability-flow ODE (Karras et al. 2022).

        labels: [count], or None: sample k is of class k mod classes. normals: what they start from,
        [count, C, H, W], or None: drawn by the generator, which lies on the CPU."""
        device = self.head.weight.device
        real = torch.float32 if device.type == "mps" else torch.float64
        if normals is None:
            normals = torch.randn(count, *self.shape, generator=generator, dtype=torch.float64)
        if labels is None:
            labels = torch.arange(count) % max(self.classes, 1)
        labels = torch.as_tensor(labels, device=device)
        path = self.process.path(steps)

        def slope(point, x):
            """Returns D and dx / dt = alpha' D + (sigma' / sigma) (x - alpha D)."""
            _, alpha, sigma, d_alpha, d_sigma = point
            clean = self.denoise(x / alpha, sigma / alpha, labels, guidance)
            return clean, d_alpha * clean + d_sigma / sigma * (x - alpha * clean)

        x = path[0][2] * normals.to(device, real)
        for point, after in zip(path, path[1:]):
            dt = after[0] - point[0]
            _, first = slope(point, x)
            _, second = slope(after, x + dt * first)
            x = x + dt / 2 * (first + second)
        return slope(path[-1], x)[0].float()

    def to_bytes(self, x):
        """Pictures as bytes, where the data were bytes: 0 to 255 are even cells of data.range."""
        low, high = self.config["data"]["range"]
        return ((x - low) / (high - low) * 256).floor().clamp(0, 255).to(torch.uint8)
