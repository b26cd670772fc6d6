// SPDX-License-Identifier: Apache-2.0
#include "kernels/modulated_norm.h"

#include "kernels/sample_checks.h"

namespace tl {
namespace {

void CheckRowRstd(const Tensor& rstd, const Tensor& x) {
  CheckShape(rstd, {x.shape[0]});
  CheckType(rstd, DType::kF32);
  CheckContiguous(rstd);
}

}  // namespace

void CheckArgs(const ModulatedNormArgs& args) {
  TL_CHECK_EQ(args.x.rank(), 2);
  TL_CHECK_EQ(args.scale.rank(), 2);
  CheckLike(args.y, args.x);
  const int64_t count = args.scale.shape[0];
  CheckSamples(args.samples, args.x.shape[0], count);
  CheckPerSample(args.scale, count, args.x);
  CheckPerSample(args.shift, count, args.x);
  if (args.rstd) CheckRowRstd(args.rstd, args.x);
  TL_CHECK(static_cast<bool>(args.residual) == static_cast<bool>(args.sum));
  if (args.residual) {
    CheckLike(args.residual, args.x);
    CheckLike(args.sum, args.x);
  }
  if (args.gate) {
    TL_CHECK(static_cast<bool>(args.residual)) << "a gate without a residual";
    CheckPerSample(args.gate, count, args.x);
  }
}

void CheckArgs(const ModulatedNormBackwardArgs& args) {
  TL_CHECK_EQ(args.x.rank(), 2);
  TL_CHECK_EQ(args.scale.rank(), 2);
  CheckLike(args.dx, args.x);
  CheckLike(args.dy, args.x);
  if (args.d_sum) CheckLike(args.d_sum, args.x);
  CheckRowRstd(args.rstd, args.x);
  const int64_t count = args.scale.shape[0];
  CheckSamples(args.samples, args.x.shape[0], count);
  CheckPerSample(args.scale, count, args.x);
  TL_CHECK(static_cast<bool>(args.d_shift) == static_cast<bool>(args.d_scale));
  if (!args.d_shift) return;
  CheckPerSample(args.d_shift, count, args.x);
  CheckPerSample(args.d_scale, count, args.x);
}

}  // namespace tl
