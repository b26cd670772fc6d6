// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include "kernels/checks.h"

namespace tl {
namespace {

// One number for each vector of x.
void CheckRstd(const Tensor& rstd, const Tensor& x) {
  const int64_t width = x.shape[-1];
  TL_CHECK_EQ(rstd.elements(), width == 0 ? 0 : x.elements() / width);
  CheckContiguous(rstd);
}

}  // namespace

void CheckArgs(const RmsNormArgs& args) {
  CheckLike(args.y, args.x);
  CheckShape(args.w, {args.x.shape[-1]});
  CheckSameType(args.w, args.x);
  if (args.rstd) CheckRstd(args.rstd, args.x);
  TL_CHECK(static_cast<bool>(args.residual) == static_cast<bool>(args.sum));
  if (args.residual) {
    TL_CHECK_EQ(args.x.rank(), 2);
    CheckLike(args.residual, args.x);
    CheckLike(args.sum, args.x);
  }
}

void CheckArgs(const RmsNormBackwardArgs& args) {
  CheckLike(args.dx, args.x);
  CheckLike(args.dy, args.x);
  CheckShape(args.w, {args.x.shape[-1]});
  CheckSameType(args.w, args.x);
  CheckRstd(args.rstd, args.x);
  if (args.d_sum) CheckLike(args.d_sum, args.x);
  if (args.dw) CheckSameShape(args.dw, args.w);
}

}  // namespace tl
