// SPDX-License-Identifier: Apache-2.0
// The arrangement of a run's ranks, and where one of them stands in it, as numbers alone.
#pragma once

namespace tl {

// Axes that are not used have size 1.
struct Grid {
  int data_size = 1;
  int data_rank = 0;
  int tensor_size = 1;
  int tensor_rank = 0;
};

}  // namespace tl
