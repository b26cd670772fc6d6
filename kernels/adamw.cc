// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const AdamWArgs& args) {
  for (const Tensor* t : {&args.p, &args.m, &args.v, &args.grad}) {
    CheckSameShape(*t, args.p);
    CheckContiguous(*t);
  }
  if (args.weight) {
    CheckSameShape(args.weight, args.p);
    CheckContiguous(args.weight);
  }
}

}  // namespace tl
