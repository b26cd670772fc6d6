// SPDX-License-Identifier: Apache-2.0
// What samplers need to know of an objective whose network takes noise out of data.
#pragma once

#include "objective/preconditioning.h"
#include "objective/process.h"

namespace tl {

struct Diffusion {
  Process process;
  Prediction prediction;
  bool knows_no_label = false;  // it was trained on samples whose label was hidden too
};

}  // namespace tl
