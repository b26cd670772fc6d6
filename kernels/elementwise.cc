// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const ConvertArgs& args) {
  CheckSameShape(args.dst, args.src);
  CheckContiguous(args.dst);
  CheckContiguous(args.src);
}

void CheckArgs(const AddArgs& args) {
  for (const Tensor* t : {&args.out, &args.a, &args.b}) {
    CheckLike(*t, args.out);
    CheckContiguous(*t);
  }
}

void CheckArgs(const SumRowsArgs& args) {
  TL_CHECK_EQ(args.parts.rank(), 2);
  TL_CHECK_LE(1, args.parts.shape[0]);
  TL_CHECK_EQ(args.out.elements(), args.parts.shape[1]);
  CheckContiguous(args.out);
}

void CheckArgs(const ScaleArgs& args) { CheckContiguous(args.x); }

void CheckArgs(const ExchangeArgs& args) {
  CheckLike(args.a, args.b);
  CheckType(args.a, DType::kF32);
  CheckContiguous(args.a);
  CheckContiguous(args.b);
}

void CheckArgs(const BiasBackwardArgs& args) { CheckShape(args.d_bias, {args.dy.shape[1]}); }

void CheckArgs(const SumSquaresArgs& args) {
  CheckContiguous(args.x);
  TL_CHECK_EQ(args.out.elements(), 2);
}

}  // namespace tl
