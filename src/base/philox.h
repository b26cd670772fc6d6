// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox-4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3", SC 2011), and uniforms and normals derived from it with the same bits on every machine.
//
// A value depends on (key, counter) alone, so initial weights, dropout and data order are functions
// of the seed, a name and a global index, never of the number of ranks.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define TL_HOST_DEVICE __host__ __device__
#else
#define TL_HOST_DEVICE
#endif

namespace tl {

struct PhiloxWords {
  uint32_t w[4];
};

// Makes the 10-round Philox block of 128-bit counter {c0, c1} (low word first) under a 64-bit key.
TL_HOST_DEVICE inline PhiloxWords Philox(uint64_t key, uint64_t c0, uint64_t c1) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  uint32_t x0 = static_cast<uint32_t>(c0), x1 = static_cast<uint32_t>(c0 >> 32);
  uint32_t x2 = static_cast<uint32_t>(c1), x3 = static_cast<uint32_t>(c1 >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * x0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * x2;
    const uint32_t y0 = static_cast<uint32_t>(p1 >> 32) ^ x1 ^ k0;
    const uint32_t y2 = static_cast<uint32_t>(p0 >> 32) ^ x3 ^ k1;
    x1 = static_cast<uint32_t>(p1);
    x3 = static_cast<uint32_t>(p0);
    x0 = y0;
    x2 = y2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{x0, x1, x2, x3}};
}

// Uniform in (0, 1): the centre of one of 2^23 equal cells, exact in fp32.
TL_HOST_DEVICE inline float UniformFromWord(uint32_t word) {
  return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f;
}

// Hashes a name into a key, by FNV-1a.
inline uint64_t HashName(const char* data, std::size_t size, uint64_t seed) {
  uint64_t h = 0xcbf29ce484222325u ^ (seed * 0x9E3779B97F4A7C15u);
  for (std::size_t i = 0; i < size; ++i)
    h = (h ^ static_cast<unsigned char>(data[i])) * 0x100000001b3u;
  h ^= h >> 32;
  return h * 0xd6e8feb86659fd93u;
}

// Makes a standard normal of a uniform in (0, 1) by Wichura's algorithm AS 241 (PPND7, relative
// error about 1e-7), in explicit fp32 fma polynomials so that every backend gives the same bits:
// the logarithm is computed here, not by libm.
float NormalFromUniform(float u);

// Returns the i-th standard normal of the stream named by key.
inline float PhiloxNormal(uint64_t key, uint64_t i) {
  return NormalFromUniform(UniformFromWord(Philox(key, i / 4, 0).w[i % 4]));
}

}  // namespace tl
