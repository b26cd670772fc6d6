// SPDX-License-Identifier: Apache-2.0
// The elements that two pieces of a tensor share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "checkpoint/manifest.h"

namespace tl {

// Two boxes of one tensor, of the same rank, seen as few axes: trailing axes that are whole in both
// are folded into the axis before them.
class BoxPair {
 public:
  BoxPair(Box a, Box b, const Shape& whole);

  // Calls visit(in a, in b, count) for every run of elements that lies in both boxes and whose
  // place within a is in [begin, end), by their places within the boxes, in ascending order of a.
  template <typename Visit>
  void ForEachRun(int64_t begin, int64_t end, const Visit& visit) const {
    const int64_t width = a_.size[rank_ - 1];
    for (int64_t at = begin; at < end;) {
      const int64_t row = at / width, column = at % width;
      const int64_t stop = std::min(end, (row + 1) * width);
      const int64_t row_in_b = RowInB(row);
      if (row_in_b >= 0) {
        const int64_t shift = a_.begin[rank_ - 1] - b_.begin[rank_ - 1];
        const int64_t width_b = b_.size[rank_ - 1];
        const int64_t first = std::max(column, -shift);
        const int64_t last = std::min(column + stop - at, width_b - shift);
        if (first < last)
          visit(row * width + first, row_in_b * width_b + first + shift, last - first);
      }
      at = stop;
    }
  }

 private:
  // Returns the row of b that row `row` of a is, counting all axes but the last; -1: none.
  int64_t RowInB(int64_t row) const;

  Box a_, b_;
  int rank_ = 0;
};

}  // namespace tl
