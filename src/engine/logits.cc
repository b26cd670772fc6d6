// SPDX-License-Identifier: Apache-2.0
#include "engine/logits.h"

#include <cstring>
#include <limits>
#include <vector>

#include "kernels/top_k.h"

namespace tl {

void MergeLargest(const int32_t* found, int64_t ranks, int64_t rows, int64_t count, int64_t part,
                  float* values, int32_t* ids) {
  std::vector<int64_t> taken(static_cast<size_t>(ranks));
  for (int64_t row = 0; row < rows; ++row) {
    std::fill(taken.begin(), taken.end(), 0);
    for (int64_t i = 0; i < count; ++i) {
      float value = -std::numeric_limits<float>::infinity();
      int64_t from = -1, token = -1;
      // Ranks hold ascending tokens: of equals the first rank's comes first.
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const int64_t next = taken[static_cast<size_t>(rank)];
        if (next == count) continue;
        const int64_t at = (rank * 2 * rows + row) * count + next;
        const int32_t column = found[at + rows * count];
        if (column < 0) continue;  // the rank has no more
        float x;
        std::memcpy(&x, found + at, sizeof(x));
        if (from >= 0 && !ComesFirst(x, value)) continue;
        value = x;
        from = rank;
        token = rank * part + column;
      }
      if (from >= 0) ++taken[static_cast<size_t>(from)];
      values[row * count + i] = value;
      ids[row * count + i] = static_cast<int32_t>(token);
    }
  }
}

}  // namespace tl
