// SPDX-License-Identifier: Apache-2.0
// What the host gets of a decoding pass's logits: whole rows, or the largest of each row alone.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace tl {

struct LogitsRow {
  absl::Span<const float> values;
  // The token of each value, the likeliest first, of equals the lower id; empty: values are of all
  // tokens in order.
  absl::Span<const int32_t> ids = {};
};

// Rows in the engine's memory, valid until its next pass.
struct RowLogits {
  int64_t rows = 0;
  int64_t width = 0;   // values of a row
  int64_t stride = 0;  // from row to row
  const float* values = nullptr;
  const int32_t* ids = nullptr;

  LogitsRow operator[](int64_t row) const {
    const auto n = static_cast<size_t>(width);
    LogitsRow out{.values = {values + row * stride, n}};
    if (ids != nullptr) out.ids = {ids + row * stride, n};
    return out;
  }
};

// Merges the `count` largest logits of every rank's part of the vocabulary, as TopK gives them:
// found holds of each rank the values of all rows, then their columns, [ranks, 2, rows, count],
// bits of fp32 and int32; rank r's column 0 is token r * part. values, ids: [rows, count].
void MergeLargest(const int32_t* found, int64_t ranks, int64_t rows, int64_t count, int64_t part,
                  float* values, int32_t* ids);

}  // namespace tl
