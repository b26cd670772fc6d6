// SPDX-License-Identifier: Apache-2.0
// What CheckArgs of the ops with numbers per sample are written with.
#pragma once

#include "kernels/checks.h"
#include "kernels/sample_rows.h"

namespace tl {

// Checks that all rows belong to one of `count` samples.
inline void CheckSamples(const SampleRows& samples, int64_t rows, int64_t count,
                         CallSite site = CallSite::Here()) {
  constexpr int64_t kMost = int64_t{1} << 31;
  TL_CHECK(1 <= samples.rows_per_sample && samples.rows_per_sample < kMost &&
           0 <= samples.first_row && samples.first_row + rows < kMost &&
           samples.Begin(count, rows) == rows)
      << "rows " << samples.first_row << " to " << samples.first_row + rows << " of " << count
      << " samples of " << samples.rows_per_sample << " rows" << site;
}

// Checks a vector for each of `count` samples, as wide as x: fp32 [count, width].
inline void CheckPerSample(const Tensor& t, int64_t count, const Tensor& x,
                           CallSite site = CallSite::Here()) {
  CheckShape(t, {count, x.shape[1]}, site);
  CheckType(t, DType::kF32, site);
  CheckLastAxis(t, site);
}

}  // namespace tl
