// SPDX-License-Identifier: Apache-2.0
// Samples divided over the data ranks, each a run of them.
#pragma once

#include <cstdint>

namespace tl {

struct SamplePart {
  int64_t first = 0, count = 0;
};

inline SamplePart PartOf(int64_t count, int ranks, int rank) {
  const int64_t first = count * rank / ranks;
  return {first, count * (rank + 1) / ranks - first};
}

}  // namespace tl
