// SPDX-License-Identifier: Apache-2.0
#include "kernels/finish_gradients.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const FinishGradientsArgs& args) { TL_CHECK_EQ(args.sums.elements(), 2); }

}  // namespace tl
