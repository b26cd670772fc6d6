// SPDX-License-Identifier: Apache-2.0
// What the readers and the writer of token files share: the own header's bytes, other formats'
// magics, messages.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "data/steady_file.h"

namespace tl::internal {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

inline constexpr char kTokenFileMagic[8] = {'T', 'L', 'T', 'O', 'K', 'E', 'N', 'S'};
inline constexpr uint32_t kTokenFileVersion = 1;

struct TokenFileHeader {
  char magic[8];
  uint32_t version;
  uint32_t header_crc;  // with this field 0
  uint64_t file_size;
  uint64_t tokens;
  uint64_t documents;
  uint64_t text_bytes;
  uint64_t vocab;
  uint32_t width;
  uint32_t tokenizer_kind;
  uint64_t tokenizer_hash;
  uint64_t definition_size;
  uint32_t token_crc;
  uint32_t tail_crc;
  int32_t begin, end;  // of documents: the token + 1, 0 not said, -1 none
  uint8_t reserved[32];
};
static_assert(sizeof(TokenFileHeader) == 128);

// Writes a token that begins or ends documents as the header has it.
inline int32_t PackToken(const std::optional<int32_t>& token) {
  return !token.has_value() ? 0 : *token < 0 ? -1 : *token + 1;
}
inline std::optional<int32_t> UnpackToken(int32_t packed) {
  if (packed == 0) return std::nullopt;
  return packed < 0 ? -1 : packed - 1;
}

inline int TokenWidth(int64_t vocab) { return vocab <= 256 ? 1 : vocab <= 65536 ? 2 : 4; }

template <typename T>
T LoadAs(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

inline absl::Status BadFile(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

inline absl::Status WrongSize(const std::string& path, uint64_t expected, uint64_t found) {
  return BadFile(path, absl::StrCat(found < expected ? "truncated" : "too long", ": expected ",
                                    expected, " bytes, found ", found));
}

inline constexpr int32_t kLlmCGpt2Magic = 20240520, kLlmCLlama3Magic = 20240801;

inline constexpr absl::string_view kMegatronMagic("MMIDIDX\0\0", 9);

// Calls visit(values, first, count) -> absl::Status for `count` values of T at a place of a file,
// block by block.
template <typename T, typename Visit>
absl::Status ForEachBlock(const SteadyFile& file, int64_t offset, int64_t count,
                          const Visit& visit) {
  constexpr int64_t kBlock = 1 << 16;
  std::vector<T> values(static_cast<size_t>(std::min(count, kBlock)));
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t n = std::min(kBlock, count - first);
    TL_RETURN_IF_ERROR(file.Read(offset + first * static_cast<int64_t>(sizeof(T)), values.data(),
                                 static_cast<size_t>(n) * sizeof(T)));
    TL_RETURN_IF_ERROR(visit(values.data(), first, n));
  }
  return absl::OkStatus();
}

}  // namespace tl::internal
