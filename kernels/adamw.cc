// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const AdamWArgs& args) {
  for (const Tensor* t : {&args.p, &args.m, &args.v, &args.grad}) {
    CheckSameShape(*t, args.p);
    CheckContiguous(*t);
  }
  for (const Tensor* t : {&args.weight, &args.ema}) {
    if (!*t) continue;
    CheckSameShape(*t, args.p);
    CheckContiguous(*t);
  }
}

}  // namespace tl
