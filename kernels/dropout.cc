// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const DropoutArgs& args) {
  TL_CHECK_EQ(args.x.rank(), 2);
  CheckLike(args.y, args.x);
  CheckContiguous(args.x);
  CheckContiguous(args.y);
  TL_CHECK(args.rate >= 0.0 && args.rate < 1.0 && DropoutThreshold(args.rate) < 0x10000u)
      << "rate " << args.rate;
}

}  // namespace tl
