// SPDX-License-Identifier: Apache-2.0
#include "kernels/residual_silu.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const ResidualSiluArgs& args) {
  for (const Tensor* t : {&args.y, &args.a, args.x ? &args.x : &args.a}) {
    CheckLike(*t, args.y);
    CheckContiguous(*t);
  }
}

void CheckArgs(const ResidualSiluBackwardArgs& args) {
  for (const Tensor* t : {&args.dy, &args.d_a, &args.a}) {
    CheckLike(*t, args.dy);
    CheckContiguous(*t);
  }
}

}  // namespace tl
