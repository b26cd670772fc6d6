// SPDX-License-Identifier: Apache-2.0
// The samples of one pass as the host has them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/check.h"

namespace tl {

// The features of a sample that condition a model.
inline constexpr int64_t kFeatures = 256;

// How large a batch is.
struct BatchShape {
  int64_t count = 0;            // samples
  int64_t sequence_length = 0;  // rows of each
  int64_t lookahead = 0;        // tokens beyond those of the rows
  int64_t row_values = 0;       // P, where rows are P values; 0: where they are tokens

  int64_t rows() const { return count * sequence_length; }
};

// Samples in host memory, of tokens or of values. T = sequence_length; all row-major.
struct HostBatch {
  int64_t first_sample = 0;  // its number in the run; set by the trainer
  int64_t count = 0;
  int64_t sequence_length = 0;
  int64_t lookahead = 0;

  // Of tokens; empty where samples are values.
  std::vector<int32_t> tokens;  // [count, T + lookahead], 0 beyond the end of the text
  std::vector<int32_t> inputs;  // [count, T]: the first T of each row of tokens
  // [count, T]. Without packing 0 and 0 1 2 ... T-1. With packing, segments count the documents of
  // a row from 0 up, and positions restart from 0 at each of them. Rows that go beyond the end of
  // the text have one more segment there.
  std::vector<int32_t> positions;
  std::vector<int32_t> segments;
  std::vector<int32_t> targets_storage;  // [lookahead, count, T]

  // Of values, as read; empty where samples are tokens.
  std::vector<float> values;     // [count, T, P]
  std::vector<int32_t> labels;   // [count]: the class, negative: none
  std::vector<int64_t> samples;  // [count]: their numbers in the source, negative: beyond its end
  bool bytes = false;            // every value is the middle of a byte's cell
  // Of values, as Objective::Prepare makes them.
  std::vector<float> noisy;      // [count, T, P]: what the model sees
  std::vector<float> target;     // [count, T, P]: what it should give
  std::vector<float> features;   // [count, kFeatures]
  std::vector<float> weight;     // [count], of the sample's loss; 0: it does not count
  std::vector<int32_t> range;    // [count]: which sum its loss adds to, negative: none
  std::vector<double> constant;  // [count]: what is added to it

  // Of a filled batch.
  static int64_t Bytes(const BatchShape& shape) {
    const auto size = static_cast<int64_t>(sizeof(HostBatch));
    constexpr int64_t kNumber = sizeof(float);
    static_assert(kNumber == sizeof(int32_t));
    if (shape.row_values > 0) {
      const int64_t per_sample = kFeatures + 3;  // weight, range and label too
      return size + (3 * shape.rows() * shape.row_values + shape.count * per_sample) * kNumber +
             shape.count * static_cast<int64_t>(sizeof(int64_t) + sizeof(double));
    }
    const int64_t per_row = (4 + shape.lookahead) * shape.sequence_length + shape.lookahead;
    return size + shape.count * per_row * kNumber;
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
