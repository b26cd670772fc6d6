# SPDX-License-Identifier: Apache-2.0
"""Exported denoisers in PyTorch beside `trunkline sample`.

  python tests/peers/denoiser_check.py --program build/trunkline --scratch DIR [--only edm,...]

Trains a small denoiser of every process, so hard that gates, scales and head are far from the zeros
that they start at, exports it, and loads the folder's own denoiser.py. From the same normals the
network's output F must be equal to 1e-5, which the first of Euler's steps shows, and samples by
Heun's method in 18 steps to 1e-4, relative to the largest. The normals are those of the program by
a second implementation of its generator (philox.py).
"""

import argparse
import importlib.util
import json
import os

import numpy as np
import torch

from command import run
from philox import sampling_normals

COUNT = 6  # samples
BASE = ["layers=2", "hidden=64", "heads=4", "head_dim=32", "ffn=96"]
# Keys of the model and of the objective. Data are bytes, or floats where it says so.
KINDS = {
    "edm": dict(model=["shape=[1,8,8]", "patch=4", "classes=3"],
                objective=['process="edm"', "label_drop=0.2", "sigma_data=0.6"], guidance=1.5),
    "edm-noise": dict(model=["shape=[1,8,12]", "patch=2", "classes=2"],
                      objective=['process="edm"', 'predict="noise"', "sigma_max=20.0"]),
    "vp": dict(model=["shape=[1,8,8]", "patch=2"], objective=['process="vp"']),
    "vp-edm": dict(model=["shape=[1,12,8]", "patch=4", "qkv_bias=true"],
                   objective=['process="vp"', 'predict="edm"', "beta_max=12.0"]),
    "subvp": dict(model=["shape=[2,4,4]", "patch=1"],
                  objective=['process="subvp"', 'predict="velocity"'], data="float"),
    "ve": dict(model=["shape=[1,8,8]", "patch=4", "kv_heads=1"],
               objective=['process="ve"', "sigma_max=10.0"]),
    "flow": dict(model=["shape=[3,8,8]", "patch=4", "classes=2", "qk_norm=true", "kv_heads=2"],
                 objective=['process="flow"'], ranks=2),  # which divide its tensors
    "cosine": dict(model=["shape=[3,4,8]", "patch=2", "qk_norm=true", "rope_theta=100.0"],
                   objective=['process="cosine"', "sigma_data=0.7"], data="float"),
}


def key(kind, name, default):
    """A key of the model."""
    values = (k.removeprefix(name + "=") for k in kind["model"] if k.startswith(name + "="))
    return next(map(json.loads, values), default)


def make_data(folder, kind):
    """Smooth pictures, brighter by class."""
    shape, classes = key(kind, "shape", None), key(kind, "classes", 0)
    random = np.random.default_rng(1)
    labels = np.arange(64) % max(classes, 1)
    y, x = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    phase = random.uniform(0, 6, (64, shape[0], 1, 1))
    pictures = np.sin(phase + 0.6 * y + 0.9 * x) * 0.6 + 0.3 * labels[:, None, None, None] - 0.3
    if kind.get("data") == "float":
        pictures = pictures.astype(np.float32)
    else:
        pictures = np.clip(pictures * 100 + 128, 0, 255).astype(np.uint8)
    np.save(f"{folder}/pictures.npy", pictures)
    np.save(f"{folder}/labels.npy", labels.astype(np.uint8))
    return classes


def train(program, folder, kind):
    classes = make_data(folder, kind)
    labels = f', labels = "{folder}/labels.npy"' if classes else ""
    lines = ["[model]", *BASE, *kind["model"], "[objective]", 'name="denoise"', *kind["objective"],
             "[data]", f'train = {{ path = "{folder}/pictures.npy"{labels} }}',
             "[train]", "steps=40", "global_batch_size=16", "micro_batch_size=16", "[optimizer]",
             "lr=1e-2", "warmup_steps=1", 'schedule="constant"', "ema=0.9", "[run]", "threads=1"]
    with open(f"{folder}/config.toml", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    ranks = kind.get("ranks", 1)
    launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)]
    run(*(launcher if ranks > 1 else []), program, "train", f"{folder}/config.toml", "--set",
        f"run.dir={folder}/run", f"parallel.tensor={ranks}")


def load(folder):
    """The folder's own module, from its own file."""
    spec = importlib.util.spec_from_file_location("denoiser", f"{folder}/denoiser.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, module.Denoiser.load(folder)


def start(model):
    """The normals of samples 0 to COUNT - 1, [COUNT, C, H, W]."""
    (channels, height, width), p = model.shape, model.patch
    z = np.stack([sampling_normals(1, k, 0, channels * height * width) for k in range(COUNT)])
    z = z.reshape(COUNT, height // p, width // p, channels, p, p).transpose(0, 3, 1, 4, 2, 5)
    return torch.from_numpy(z.reshape(COUNT, channels, height, width).copy())


@torch.no_grad()
def euler(model, z, labels, steps):
    """D at the last of the noises, and what makes F of such a D."""
    path = model.process.path(steps)
    x = path[0][2] * z
    for i, (t, alpha, sigma, d_alpha, d_sigma) in enumerate(path):
        noise = sigma / alpha
        clean = model.denoise(x / alpha, noise, labels)
        if i + 1 < steps:
            slope = d_alpha * clean + d_sigma / sigma * (x - alpha * clean)
            x = x + (path[i + 1][0] - t) * slope
    _, skip, out = model.process.frame(noise)
    return clean, lambda d: (d.double() - skip * x / alpha) / out


def away(a, b):
    assert a.isfinite().all() and b.isfinite().all()
    return ((a - b).abs().max() / max(1.0, b.abs().max())).item()


def check(name, program, scratch):
    kind, folder = KINDS[name], f"{scratch}/{name}"
    os.makedirs(folder)
    train(program, folder, kind)
    for dtype in ("fp32", "bf16"):
        run(program, "export", f"{folder}/run", "--format", "safetensors", "--dtype", dtype,
            "--out", f"{folder}/{dtype}")
    module, model = load(f"{folder}/fp32")
    halves = module.read_safetensors(f"{folder}/bf16/model.safetensors")
    for key, weight in model.state_dict().items():
        assert torch.equal(halves[key], weight.bfloat16()), f"{name}: {key} in bf16"
        assert weight.abs().max() > 1e-3, f"{name}: {key} is hardly more than 0"

    def drawn(*options):
        run(program, "sample", f"{folder}/run", "--count", str(COUNT), "--set", "run.threads=1",
            "parallel.tensor=1", "--out", f"{folder}/x.npy", *options)
        return torch.from_numpy(np.load(f"{folder}/x.npy"))

    z = start(model)
    labels = torch.arange(COUNT) % model.classes if model.classes else torch.zeros(COUNT, dtype=int)
    # D at the most noise, where it is written as finely as F, and at the least.
    clean, network = euler(model, z, labels, 1)
    ours = drawn("--sampler", "euler", "--steps", "1")
    output = away(network(ours), network(clean))
    assert output < 1e-5, f"{name}: F is {output} away"
    last, _ = euler(model, z, labels, 4)
    estimate = away(drawn("--sampler", "euler", "--steps", "4"), last)
    assert estimate < 1e-5, f"{name}: D is {estimate} away"
    samples = 0.0
    for guidance in [1.0, kind["guidance"]] if "guidance" in kind else [1.0]:
        theirs = model.sample(COUNT, guidance=guidance, normals=z)
        heun = ("--sampler", "heun", "--steps", "18", "--guidance", str(guidance))
        ours = drawn(*heun)
        samples = max(samples, away(ours, theirs))
    assert samples < 1e-4, f"{name}: samples are {samples} away"
    assert torch.equal(drawn(*heun, "--bytes"), model.to_bytes(ours)), f"{name}: bytes"
    print(f"{name:10s} F within {output:.1e}, D {estimate:.1e}, samples {samples:.1e} of the "
          f"largest, {ours.abs().max():.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--only", default=",".join(KINDS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.only.split(","):
        check(name, args.program, args.scratch)


if __name__ == "__main__":
    main()
