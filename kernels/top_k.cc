// SPDX-License-Identifier: Apache-2.0
#include "kernels/top_k.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const TopKArgs& args) {
  TL_CHECK(args.x.rank() == 2 && args.values.rank() == 2) << ToString(args.x.shape);
  CheckType(args.x, DType::kF32);
  CheckLastAxis(args.x);
  TL_CHECK_LT(args.x.shape[1], int64_t{1} << 31);
  const int64_t k = args.values.shape[1];
  TL_CHECK(1 <= k && k <= kMostTop) << k << " of each row";
  CheckShape(args.values, {args.x.shape[0], k});
  CheckShape(args.ids, {args.x.shape[0], k});
  CheckType(args.values, DType::kF32);
  CheckType(args.ids, DType::kI32);
  CheckContiguous(args.values);
  CheckContiguous(args.ids);
}

}  // namespace tl
