// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_error.h"

#include "kernels/sample_checks.h"

namespace tl {

void CheckArgs(const SquaredErrorArgs& args) {
  TL_CHECK_EQ(args.y.rank(), 2);
  CheckType(args.y, DType::kF32);
  CheckContiguous(args.y);
  CheckLike(args.target, args.y);
  CheckContiguous(args.target);
  const int64_t count = args.losses.elements();
  CheckSamples(args.samples, args.y.shape[0], count);
  for (const Tensor* t : {&args.losses, &args.weights}) {
    CheckShape(*t, {count});
    CheckType(*t, DType::kF32);
    CheckContiguous(*t);
  }
  TL_CHECK(static_cast<bool>(args.dy) == static_cast<bool>(args.grad_scale));
  if (!args.dy) return;
  CheckSameShape(args.dy, args.y);
  CheckContiguous(args.dy);
  CheckType(args.grad_scale, DType::kF32);
  TL_CHECK_EQ(args.grad_scale.elements(), 1);
}

void CheckArgs(const SumByRangeArgs& args) {
  CheckShape(args.sums, {kRangeSums});
  CheckType(args.sums, DType::kF64);
  CheckType(args.losses, DType::kF32);
  CheckType(args.ranges, DType::kI32);
  CheckSameShape(args.ranges, args.losses);
  CheckContiguous(args.losses);
  CheckContiguous(args.ranges);
}

}  // namespace tl
