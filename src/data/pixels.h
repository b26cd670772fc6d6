// SPDX-License-Identifier: Apache-2.0
// Bytes of pictures as numbers from -1 to 1, each byte a cell of 1/128, and back. All exact in fp32.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace tl {

// Returns the middle of a byte's cell: (v + 1/2) / 128 - 1.
inline float PixelOfByte(uint8_t byte) {
  return (static_cast<float>(byte) + 0.5f) * 0x1p-7f - 1.0f;
}

// Returns a place in a byte's cell: (v + u) / 128 - 1, where u is the middle of one of 2^16 equal
// cells of (0, 1), so that ByteOfPixel gives the byte back.
inline float PixelOfByte(uint8_t byte, uint16_t u) {
  const int32_t place = (int32_t{byte} << 17) + 2 * int32_t{u} + 1;  // of 2^25
  return static_cast<float>(place - (1 << 24)) * 0x1p-24f;
}

// Returns the byte whose cell a number lies in; that of the nearest cell beyond them, 0 for a NaN.
inline uint8_t ByteOfPixel(double x) {
  const double cell = std::floor((x + 1.0) * 128.0);
  return cell >= 0.0 ? static_cast<uint8_t>(std::min(cell, 255.0)) : uint8_t{0};
}

}  // namespace tl
