#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how far samples are from pictures that were held out; needs numpy alone.

  pictures.py --train P.idx --train-labels L.idx --eval P.idx --eval-labels L.idx SAMPLES.npy...

Sample k is asked to be of class k mod classes, as `trunkline sample` draws them. A line for each file,
and before them one for as many training pictures and one for as many draws, cut to the range of
pixels, of a normal distribution with the training pictures' mean and covariance:

  distance    Frechet distance to the held-out pictures in the first 64 principal components of the
              training pictures, each of variance 1 (0: the same mean and covariance)
  agreement   part of the samples that a classifier takes for the class that was asked: ridge
              regression on 1500 random ReLU features, learnt on the training pictures
  neighbour   median distance to the nearest training picture, over that of held-out pictures, in
              the same components: well below 1, samples are copies
"""

import argparse
import sys

import numpy as np

COMPONENTS = 64
FEATURES = 1500


def read_idx(path):
    """Reads an IDX file of bytes."""
    raw = np.fromfile(path, dtype=np.uint8)
    if raw.size < 4 or raw[0] or raw[1] or raw[2] != 8:
        sys.exit(f"{path}: expected an IDX file of bytes")
    rank = int(raw[3])
    shape = raw[4 : 4 + 4 * rank].view(">i4").astype(int)
    return raw[4 + 4 * rank :].reshape(shape)


def rows(pictures):
    """Flattens pictures to values in [-1, 1], as training reads them."""
    flat = pictures.reshape(len(pictures), -1)
    if flat.dtype == np.uint8:
        return (flat.astype(np.float32) + 0.5) / 128 - 1
    return np.clip(flat.astype(np.float32), -1, 1)


def root(matrix):
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def frechet(a, b):
    """Frechet distance of two normal distributions with the moments of the rows of a and b."""
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    half = root(ca)
    cross = np.trace(root(half @ cb @ half))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * cross)


class Components:
    """The first principal components of training pictures, each scaled to variance 1."""

    def __init__(self, pictures):
        self.mean = pictures.mean(0)
        centred = pictures - self.mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(pictures))
        self.values, self.vectors = values[::-1], vectors[:, ::-1]
        self.scaled = self.vectors[:, :COMPONENTS] / np.sqrt(self.values[:COMPONENTS])

    def of(self, pictures):
        return (pictures - self.mean) @ self.scaled

    def normal_draws(self, count, random):
        z = random.standard_normal((count, len(self.values))).astype(np.float32)
        return np.clip(self.mean + (z * np.sqrt(np.maximum(self.values, 0))) @ self.vectors.T, -1, 1)


class Classifier:
    """Ridge regression of the classes on random ReLU features."""

    def __init__(self, pictures, labels, random):
        self.mean = pictures.mean(0)
        width = pictures.shape[1]
        self.weights = random.standard_normal((width, FEATURES)).astype(np.float32) / np.sqrt(width)
        self.offsets = random.standard_normal(FEATURES).astype(np.float32) * 0.1
        features = self.features(pictures).astype(np.float64)
        wanted = np.eye(labels.max() + 1)[labels]
        normal = features.T @ features + np.eye(FEATURES + 1)
        self.readout = np.linalg.solve(normal, features.T @ wanted)

    def features(self, pictures):
        hidden = np.maximum((pictures - self.mean) @ self.weights + self.offsets, 0)
        return np.concatenate([hidden, np.ones((len(hidden), 1), np.float32)], axis=1)

    def agreement(self, pictures, labels):
        return float((np.argmax(self.features(pictures) @ self.readout, axis=1) == labels).mean())


def nearest(points, others):
    """The median over points of the distance to the nearest of others."""
    least = []
    squares = (others**2).sum(1)
    for at in range(0, len(points), 250):
        some = points[at : at + 250]
        least.append((squares - 2 * some @ others.T).min(1) + (some**2).sum(1))
    return float(np.median(np.sqrt(np.maximum(np.concatenate(least), 0))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("train", "train-labels", "eval", "eval-labels"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--count", type=int, default=2000, help="pictures of the two first lines")
    parser.add_argument("samples", nargs="*")
    options = parser.parse_args()
    train, held_out = rows(read_idx(options.train)), rows(read_idx(options.eval))
    train_labels = read_idx(options.train_labels).astype(int)
    eval_labels = read_idx(options.eval_labels).astype(int)
    random = np.random.default_rng(1)
    components = Components(train)
    classifier = Classifier(train, train_labels, random)
    points, known = components.of(held_out), components.of(train)
    between = nearest(points[:2000], known)

    def line(name, pictures, labels):
        at = components.of(pictures)
        agreement = classifier.agreement(pictures, labels) if labels is not None else None
        print(
            f"{name}: {len(pictures)} pictures, distance {frechet(at, points):.3f}, agreement "
            + ("-" if agreement is None else f"{agreement:.3f}")
            + f", neighbour {nearest(at, known) / between:.3f}",
            flush=True,
        )

    classes = train_labels.max() + 1
    print(f"held-out pictures: agreement {classifier.agreement(held_out, eval_labels):.3f}")
    some = random.choice(len(train), options.count, replace=False)
    at = components.of(train[some])
    print(f"training pictures: {options.count} pictures, distance {frechet(at, points):.3f}")
    line("normal distribution", components.normal_draws(options.count, random), None)
    for path in options.samples:
        pictures = rows(np.load(path))
        line(path, pictures, np.arange(len(pictures)) % classes)


main()
