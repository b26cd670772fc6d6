// SPDX-License-Identifier: Apache-2.0
// Byte-pair merging of words.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace tl::internal {

class BpeMerger {
 public:
  // Adds a merge: that added first comes first. A pair added again takes its later place.
  void AddMerge(int32_t left, int32_t right, int32_t merged);

  // Appends what is left of a word's symbols when again and again the pair of lowest rank, the
  // leftmost of equals, has been merged. Overwrites the symbols, of which there are less than 2³¹.
  void Merge(absl::Span<int32_t> symbols, std::vector<int32_t>* ids) const;

 private:
  struct Rule {
    int32_t rank, id;
  };
  const Rule* Find(int32_t left, int32_t right) const {
    const auto it =
        rules_.find(uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right));
    return it == rules_.end() ? nullptr : &it->second;
  }
  void MergeFew(absl::Span<int32_t> word, std::vector<int32_t>* ids) const;
  void MergeMany(absl::Span<int32_t> word, std::vector<int32_t>* ids) const;

  absl::flat_hash_map<uint64_t, Rule> rules_;
  int32_t next_rank_ = 0;
};

}  // namespace tl::internal
