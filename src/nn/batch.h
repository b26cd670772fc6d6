// SPDX-License-Identifier: Apache-2.0
// The samples of one pass as the host has them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/check.h"

namespace tl {

// Samples in host memory. T = sequence_length; all row-major.
struct HostBatch {
  int64_t first_sample = 0;  // its number in the run; set by the trainer
  int64_t count = 0;
  int64_t sequence_length = 0;
  int64_t lookahead = 0;
  std::vector<int32_t> tokens;  // [count, T + lookahead], 0 beyond the end of the text
  std::vector<int32_t> inputs;  // [count, T]: the first T of each row of tokens
  // [count, T]. Without packing 0 and 0 1 2 ... T-1. With packing, segments count the documents of
  // a row from 0 up, and positions restart from 0 at each of them. Rows that go beyond the end of
  // the text have one more segment there.
  std::vector<int32_t> positions;
  std::vector<int32_t> segments;
  std::vector<int32_t> targets_storage;  // [lookahead, count, T]

  // Of a filled batch.
  static int64_t Bytes(int64_t count, int64_t sequence_length, int64_t lookahead) {
    const int64_t per_row = (4 + lookahead) * sequence_length + lookahead;
    return static_cast<int64_t>(sizeof(HostBatch)) +
           count * per_row * static_cast<int64_t>(sizeof(int32_t));
  }

  // [count, T], offset 1..lookahead: the token `offset` after each input, or -1 (masked) where that
  // is beyond the end of the text or, with packing, in another document.
  absl::Span<const int32_t> targets(int64_t offset) const {
    TL_CHECK(offset >= 1 && offset <= lookahead) << "offset " << offset;
    const size_t size = static_cast<size_t>(count * sequence_length);
    return {targets_storage.data() + (offset - 1) * size, size};
  }
  // Masks the targets at this offset whose token before is not an input: those that a model which
  // runs over the inputs does not predict from the text right before them.
  void MaskBeyondInputs(int64_t offset) {
    TL_CHECK(offset >= 1 && offset <= lookahead) << "offset " << offset;
    int32_t* rows = targets_storage.data() + (offset - 1) * count * sequence_length;
    const int64_t masked = std::min(offset - 1, sequence_length);
    for (int64_t b = 0; b < count; ++b) {
      int32_t* end = rows + (b + 1) * sequence_length;
      std::fill(end - masked, end, -1);
    }
  }
  // Unmasked targets at this offset. That of a global batch is the sum over its parts.
  int64_t TargetCount(int64_t offset) const {
    int64_t n = 0;
    for (int32_t t : targets(offset)) n += t >= 0;
    return n;
  }
};

}  // namespace tl
