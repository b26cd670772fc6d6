// SPDX-License-Identifier: Apache-2.0
// Which sample a row belongs to, on a rank that may begin and end inside one.
#pragma once

#include <cstdint>

#include "base/philox.h"

namespace tl {

// Row r of a tensor is row first_row + r of the whole batch; sample b has the batch's rows
// [b rows_per_sample, (b + 1) rows_per_sample). There are less than 2^31 rows.
struct SampleRows {
  int64_t rows_per_sample = 1;
  int64_t first_row = 0;

  // In 32 bits: GPUs call a function to divide 64.
  TL_HOST_DEVICE int64_t SampleOf(int64_t row) const {
    return static_cast<uint32_t>(first_row + row) / static_cast<uint32_t>(rows_per_sample);
  }
  // Of a tensor with so many rows, sample b has [Begin(b, rows), Begin(b + 1, rows)), maybe none.
  TL_HOST_DEVICE int64_t Begin(int64_t sample, int64_t rows) const {
    const int64_t begin = sample * rows_per_sample - first_row;
    return begin < 0 ? 0 : begin < rows ? begin : rows;
  }
};

}  // namespace tl
