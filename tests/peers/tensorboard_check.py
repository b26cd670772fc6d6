#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a run folder with PyPI's tensorboard and compares it with metrics.jsonl.

    python tests/peers/tensorboard_check.py RUN_DIR

Every loss, learning rate and evaluation in metrics.jsonl must be in the event files, at the same
step and with the same fp32 value, and nothing else. Needs: pip install tensorboard.
"""

import json
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {
    "train/loss": "loss",
    "train/lr": "lr",
    "train/grad_norm": "grad_norm",
    "speed/tokens_per_second": "tokens_per_second",
    "eval/loss": "eval_loss",
    "eval/bits_per_byte": "bits_per_byte",
}


def fp32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def close(tag, a, b):
    # Losses keep all their digits; speeds are written with six.
    if tag.endswith("loss"):
        return fp32(a) == fp32(b)
    return abs(a - b) <= 1e-5 * abs(b)


def main():
    run_dir = sys.argv[1]
    with open(f"{run_dir}/metrics.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    events = EventAccumulator(run_dir, size_guidance={"scalars": 0})
    events.Reload()
    compared = 0
    for tag, key in TAGS.items():
        expected = {line["step"]: line[key] for line in lines if line.get(key) is not None}
        found = {}
        if tag in events.Tags()["scalars"]:
            found = {e.step: e.value for e in events.Scalars(tag) if e.value == e.value}
        if expected.keys() != found.keys():
            sys.exit(f"{tag}: steps differ: {sorted(expected.keys() ^ found.keys())[:10]}")
        for step, value in expected.items():
            if not close(tag, found[step], value):
                sys.exit(f"{tag}, step {step}: {found[step]} in TensorBoard, {value} in metrics")
        compared += len(expected)
    if compared == 0:
        sys.exit(f"{run_dir}: nothing to compare")
    print(f"TensorBoard reads {compared} scalars of {len(TAGS)} tags, all equal to metrics.jsonl")


if __name__ == "__main__":
    main()
