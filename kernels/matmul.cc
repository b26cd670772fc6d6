// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const MatmulArgs& args) {
  TL_CHECK(args.a.rank() == 2 && args.b.rank() == 2 && args.c.rank() == 2);
  const bool ta = args.trans_a == Transpose::kYes, tb = args.trans_b == Transpose::kYes;
  const int64_t m = args.c.shape[0], n = args.c.shape[1], k = args.a.shape[ta ? 0 : 1];
  TL_CHECK(args.a.shape[ta ? 1 : 0] == m && args.b.shape[tb ? 1 : 0] == k &&
           args.b.shape[tb ? 0 : 1] == n)
      << ToString(args.a.shape) << (ta ? "^T " : " ") << ToString(args.b.shape) << (tb ? "^T" : "")
      << " -> " << ToString(args.c.shape);
  for (const Tensor* t : {&args.a, &args.b, &args.c}) CheckLastAxis(*t);
  CheckSameType(args.b, args.a);
  TL_CHECK(args.choice == nullptr || args.c.device.type == DeviceType::kCuda)
      << "no choice on CPUs";
  TL_CHECK(args.c.dtype == args.a.dtype || args.c.dtype == DType::kF32) << Name(args.c.dtype);
  if (args.bias) {
    TL_CHECK_EQ(args.beta, 0.0f);
    CheckShape(args.bias, {n});
    CheckSameType(args.bias, args.a);
    CheckContiguous(args.bias);
  }
}

}  // namespace tl
