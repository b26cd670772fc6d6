# SPDX-License-Identifier: Apache-2.0
"""The program's random numbers (src/base/philox.h, normals.h) in numpy, from their definition."""

import numpy as np

MASK = (1 << 64) - 1


def stream_key(name, seed):
    """FNV-1a of the name, the seed in its first state, mixed at the end."""
    h = 0xcbf29ce484222325 ^ (seed * 0x9E3779B97F4A7C15 & MASK)
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001b3 & MASK
    return (h ^ h >> 32) * 0xd6e8feb86659fd93 & MASK


def philox(key, c0, c1):
    """Philox-4x32-10 of counters c0 (an array) and c1 (a number): uint32 [len(c0), 4]."""
    low = np.uint64(0xffffffff)
    k0, k1 = key & 0xffffffff, key >> 32
    x0, x1 = c0.astype(np.uint64) & low, c0.astype(np.uint64) >> np.uint64(32)
    x2, x3 = np.full_like(x0, c1 & 0xffffffff), np.full_like(x0, c1 >> 32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0 = p1 >> np.uint64(32) ^ x1 ^ np.uint64(k0)
        x2 = p0 >> np.uint64(32) ^ x3 ^ np.uint64(k1)
        x1, x3 = p1 & low, p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xffffffff, (k1 + 0xBB67AE85) & 0xffffffff
    return np.stack([x0, x1, x2, x3], -1).astype(np.uint32)


def horner(r, coefficients):
    """A polynomial in fp32, each step one fused product and sum."""
    value = np.full_like(r, coefficients[0])
    for c in coefficients[1:]:
        value = (r.astype(np.float64) * value + np.float32(c)).astype(np.float32)
    return value


def normal_of(u):
    """Wichura's AS 241 (PPND7) of uniforms in (0, 1), fp32."""
    one, half = np.float32(1), np.float32(0.5)
    q = u - half
    r = (-q.astype(np.float64) * q + np.float32(0.180625)).astype(np.float32)
    middle = q * horner(r, (59.109374720, 159.29113202, 50.434271938, 3.3871327179)) / horner(
        r, (67.187563600, 78.757757664, 17.895169469, 1.0))
    tail = np.where(q < 0, u, one - u)
    r = np.sqrt(-np.log(tail.astype(np.float64))).astype(np.float32)
    near, far = r - np.float32(1.6), r - np.float32(5)
    value = np.where(
        r <= 5,
        horner(near, (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777)) / horner(
            near, (0.12021132975, 0.73700164250, 1.0)),
        horner(far, (0.017337203997, 0.42868294337, 3.0812263860, 6.6579051150)) / horner(
            far, (0.012258202635, 0.24197894225, 1.0)))
    return np.where(np.abs(q) <= np.float32(0.425), middle, np.where(q < 0, -value, value))


def normals(key, line, count):
    """The first numbers of a line of the stream, fp64."""
    words = philox(key, np.arange((count + 3) // 4), line).reshape(-1)[:count]
    u = ((words >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2 ** -23)
    return normal_of(u).astype(np.float64)


def sampling_normals(seed, sample, draw, count):
    """What `trunkline sample` draws for a sample, in the order of its patches."""
    return normals(stream_key("sample", stream_key("sampling", seed) ^ sample), draw, count)
