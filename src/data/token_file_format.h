// What the readers and the writer of token files share: the own header's bytes, other formats'
// magics, messages.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

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
  uint8_t reserved[40];
};
static_assert(sizeof(TokenFileHeader) == 128);

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

inline bool IsMegatronIndex(const uint8_t* data, size_t size) {
  return size >= 9 && std::memcmp(data, "MMIDIDX\0\0", 9) == 0;
}

}  // namespace tl::internal
