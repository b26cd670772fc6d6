// SPDX-License-Identifier: Apache-2.0
// CRC32C (Castagnoli, polynomial 0x1EDC6F41, reflected), as in RFC 3720.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tl {

// Extends crc (0 for an empty prefix) by size bytes. Uses the SSE4.2 instruction where present.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size);
inline uint32_t Crc32c(const void* data, size_t size) { return ExtendCrc32c(0, data, size); }

}  // namespace tl
