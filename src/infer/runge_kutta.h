// SPDX-License-Identifier: Apache-2.0
// Dormand and Prince's pair of orders 5 and 4 over rows that have nothing to do with each other:
// the time, the step and the error are each row's own. Rows are only evaluated together.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tl {

// Writes dy/dt of every row at its time. t [rows]; y, slopes [rows][width].
using RowSlopes = std::function<absl::Status(absl::Span<const double> t, absl::Span<const double> y,
                                             absl::Span<double> slopes)>;

struct RowIntegral {
  double from = 0.0, to = 0.0;
  int64_t rows = 0;
  absl::Span<const int64_t> samples = {};  // the rows' numbers in messages; empty: 0, 1, ..
  double tolerance = 1e-5;                 // of a step's error, relative to 1 + |y|
  // The last so many components of a row are each held to the tolerance; of the others the root
  // mean square is.
  int64_t judged_alone = 0;
};

// Integrates y in place. Returns the evaluations that every row has used.
absl::StatusOr<std::vector<int64_t>> IntegrateRows(const RowIntegral& integral,
                                                   const RowSlopes& slopes, std::vector<double>* y);

}  // namespace tl
