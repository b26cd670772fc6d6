// SPDX-License-Identifier: Apache-2.0
#include "kernels/head_metrics.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const HeadMetricsArgs& args) {
  CheckShape(args.sums, {kHeadSums});
  CheckType(args.sums, DType::kF64);
  for (const Tensor* t : {&args.alive, &args.losses, &args.greedy, &args.rank, &args.main})
    CheckShape(*t, {args.targets.shape[0]});
}

}  // namespace tl
