// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const RopeArgs& args) {
  TL_CHECK_EQ(args.x.rank(), 3);
  TL_CHECK_EQ(args.x.shape[2] % 2, 0);
  CheckShape(args.positions, {args.x.shape[0]});
  CheckShape(args.table, {args.table.shape[0], 2, args.x.shape[2] / 2});
  CheckContiguous(args.table);
}

}  // namespace tl
