// Byte-pair merging of words.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace tl::internal {

class BpeMerger {
 public:
  void SetByte(unsigned char byte, int32_t id) { byte_ids_[byte] = id; }
  // Of two pairs the one added first merges first. A pair added again takes its later place.
  void AddMerge(int32_t left, int32_t right, int32_t merged);

  // Appends the ids of one word: its bytes, in which again and again the pair of lowest rank, the
  // leftmost of equals, is merged.
  void Encode(absl::string_view word, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank, id;
  };
  const Merge* Find(int32_t left, int32_t right) const {
    const auto it =
        merges_.find(uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right));
    return it == merges_.end() ? nullptr : &it->second;
  }
  void EncodeShort(absl::string_view word, std::vector<int32_t>* ids) const;
  void EncodeLong(absl::string_view word, std::vector<int32_t>* ids) const;

  std::array<int32_t, 256> byte_ids_ = {};
  absl::flat_hash_map<uint64_t, Merge> merges_;
  int32_t next_rank_ = 0;
};

}  // namespace tl::internal
