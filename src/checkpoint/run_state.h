// SPDX-License-Identifier: Apache-2.0
// Where training stands: with the weights and the optimizer's state, all that resuming needs. Every
// random number follows from the seed and the position.
#pragma once

#include <cstdint>

#include "optim/loss_scaler.h"

namespace tl {

struct RunState {
  int64_t step = 0;     // steps done
  int64_t updates = 0;  // of them not skipped
  int64_t skipped = 0;
  int64_t samples = 0;  // of the data, consumed; the blend's state follows from it
  int64_t seed = 0;     // of initial weights and data order
  // The step since which the state may not be trusted, see train/health.h; 0: it may.
  int64_t unhealthy_since = 0;
  // Steps since the last update that were skipped with a finite loss, see there too.
  int64_t skips_in_a_row = 0;
  LossScaler scaler;
};

}  // namespace tl
