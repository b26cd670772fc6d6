// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace tl {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) ? 0x82F63B78u : 0u);
    table[i] = c;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

uint32_t ExtendPortable(uint32_t state, const unsigned char* p, size_t size) {
  for (size_t i = 0; i < size; ++i) state = (state >> 8) ^ kTable[(state ^ p[i]) & 0xff];
  return state;
}

#if defined(__x86_64__)
// Bytes of each of the three streams that run side by side: the instruction takes three cycles, and
// one can start in every cycle.
constexpr size_t kStream = 4096;

// The state after kStream more zero bytes, which is linear in the state: by tables of its bytes.
class Skip {
 public:
  Skip() {
    std::array<uint32_t, 32> columns;  // images of single bits, at first after one zero byte
    for (int bit = 0; bit < 32; ++bit) {
      const uint32_t state = uint32_t{1} << bit;
      columns[bit] = (state >> 8) ^ kTable[state & 0xff];
    }
    for (size_t bytes = 1; bytes < kStream; bytes *= 2) {
      const std::array<uint32_t, 32> half = columns;
      for (uint32_t& column : columns) column = Apply(half, column);
    }
    for (int byte = 0; byte < 4; ++byte) {
      for (uint32_t value = 0; value < 256; ++value)
        tables_[byte][value] = Apply(columns, value << (8 * byte));
    }
  }
  uint32_t operator()(uint32_t state) const {
    return tables_[0][state & 0xff] ^ tables_[1][state >> 8 & 0xff] ^
           tables_[2][state >> 16 & 0xff] ^ tables_[3][state >> 24];
  }

 private:
  static uint32_t Apply(const std::array<uint32_t, 32>& columns, uint32_t state) {
    uint32_t image = 0;
    for (int bit = 0; bit < 32; ++bit) {
      if (state >> bit & 1) image ^= columns[bit];
    }
    return image;
  }
  std::array<std::array<uint32_t, 256>, 4> tables_;
};

__attribute__((target("sse4.2"))) uint64_t ExtendBy8(uint64_t state, const unsigned char* p) {
  uint64_t word;
  std::memcpy(&word, p, 8);
  return _mm_crc32_u64(state, word);
}

__attribute__((target("sse4.2"))) uint32_t ExtendSse42(uint32_t state, const unsigned char* p,
                                                       size_t size) {
  static const Skip skip;
  uint64_t first = state;
  for (; size >= 3 * kStream; p += 3 * kStream, size -= 3 * kStream) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < kStream; i += 8) {
      first = ExtendBy8(first, p + i);
      second = ExtendBy8(second, p + kStream + i);
      third = ExtendBy8(third, p + 2 * kStream + i);
    }
    first = skip(skip(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second)) ^ third;
  }
  for (; size >= 8; p += 8, size -= 8) first = ExtendBy8(first, p);
  state = static_cast<uint32_t>(first);
  for (; size > 0; ++p, --size) state = _mm_crc32_u8(state, *p);
  return state;
}
#endif

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size) {
  const auto* p = static_cast<const unsigned char*>(data);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~ExtendSse42(~crc, p, size);
#endif
  return ~ExtendPortable(~crc, p, size);
}

}  // namespace tl
