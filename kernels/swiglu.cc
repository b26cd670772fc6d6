// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const SwigluArgs& args) {
  CheckShape(args.gate_up, {args.y.shape[0], 2 * args.y.shape[1]});
  CheckSameType(args.gate_up, args.y);
}

void CheckArgs(const SwigluBackwardArgs& args) {
  CheckShape(args.gate_up, {args.dy.shape[0], 2 * args.dy.shape[1]});
  CheckSameType(args.gate_up, args.dy);
  CheckLike(args.d_gate_up, args.gate_up);
}

}  // namespace tl
