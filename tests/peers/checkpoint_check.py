#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a checkpoint as docs/reference/checkpoint-format.md specifies it, and once more with
PyPI's h5py.

    python tests/peers/checkpoint_check.py CHECKPOINT

Every checksum must be right, every element of every tensor stored exactly once; each shard's
datasets must say in HDF5 what the manifest says, with the same numbers; and model.h5 must give every
weight whole. Needs: pip install h5py numpy.
"""

import json
import os
import sys

import h5py
import numpy as np

NUMPY_TYPES = {"float32": "<f4", "bfloat16": "<u2", "float16": "<f2"}


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def read_manifest(path):
    with open(path, "rb") as file:
        text = file.read()
    mark = b',"crc32c":"'
    end = text.rindex(mark)
    stated = int(text[end + len(mark) : end + len(mark) + 8], 16)
    assert crc32c(text[:end]) == stated, "the manifest's checksum is wrong"
    manifest = json.loads(text)
    assert (manifest["format"], manifest["version"]) == ("trunkline checkpoint", 2)
    return manifest


def check_checksums(manifest, record, data):
    """Of the pieces, block by block, and of what lies between them."""
    at, rest = 0, 0
    for piece in record["pieces"]:
        tensor = manifest["tensors"][piece["tensor"]]
        width = np.dtype(NUMPY_TYPES[tensor["dtype"]]).itemsize
        assert piece["offset"] >= at, "pieces overlap"
        rest = crc32c(data[at : piece["offset"]], rest)
        at = piece["offset"] + (piece["end"] - piece["begin"]) * width
        stated = [piece["crc32c"][i : i + 8] for i in range(0, len(piece["crc32c"]), 8)]
        starts = range(piece["offset"], at, manifest["block_bytes"])
        assert len(stated) == len(starts)
        for start, crc in zip(starts, stated):
            assert crc32c(data[start : min(start + manifest["block_bytes"], at)]) == int(crc, 16)
    assert crc32c(data[at:], rest) == int(record["rest_crc32c"], 16)


def place(whole, count, piece, values):
    """Puts a piece's values where they belong in the whole tensor, and counts them."""
    box = tuple(slice(b, b + n) for b, n in zip(piece["box_begin"], piece["box_size"]))
    for array, new in ((whole, values), (count, 1)):
        flat = array[box].reshape(-1)  # a copy where the box is not contiguous
        flat[piece["begin"] : piece["end"]] = new if array is whole else flat[
            piece["begin"] : piece["end"]] + 1
        array[box] = flat.reshape(piece["box_size"])


def main():
    folder = sys.argv[1]
    manifest = read_manifest(f"{folder}/manifest.json")
    wholes = [np.zeros(t["shape"], NUMPY_TYPES[t["dtype"]]) for t in manifest["tensors"]]
    counts = [np.zeros(t["shape"], np.int32) for t in manifest["tensors"]]
    pieces = 0
    for record in manifest["files"]:
        path = f"{folder}/{record['name']}"
        assert os.path.getsize(path) == record["bytes"]
        with open(path, "rb") as file:
            data = file.read()
        check_checksums(manifest, record, data)
        with h5py.File(path) as shard:
            for piece in record["pieces"]:
                tensor = manifest["tensors"][piece["tensor"]]
                values = np.frombuffer(data, NUMPY_TYPES[tensor["dtype"]],
                                       piece["end"] - piece["begin"], piece["offset"])
                dataset = shard[f"{tensor['role']}/{tensor['name']}"]
                assert list(dataset.attrs["shape"]) == tensor["shape"]
                assert list(dataset.attrs["box_begin"]) == piece["box_begin"]
                assert list(dataset.attrs["box_size"]) == piece["box_size"]
                assert list(dataset.attrs["range"]) == [piece["begin"], piece["end"]]
                if tensor["dtype"] == "float32":
                    assert np.array_equal(dataset[:].view("<u4"), values.view("<u4"))
                place(wholes[piece["tensor"]], counts[piece["tensor"]], piece, values)
                pieces += 1
    for tensor, count in zip(manifest["tensors"], counts):
        assert (count == 1).all(), f"{tensor['name']} is not stored exactly once"

    weights = [(t, w) for t, w in zip(manifest["tensors"], wholes) if t["role"] == "weight"]
    with h5py.File(f"{folder}/model.h5") as model:
        names = []
        model.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        assert sorted(names) == sorted(t["name"] for t, _ in weights)
        for tensor, whole in weights:
            read = model[tensor["name"]][:]
            assert np.array_equal(read.view("<u4"), whole.view("<u4")), tensor["name"]
    grid = manifest["grid"]
    print(f"{folder}: {pieces} pieces of {len(wholes)} tensors from {grid['data']} x "
          f"{grid['tensor']} ranks; {len(weights)} weights whole in model.h5")


if __name__ == "__main__":
    main()
