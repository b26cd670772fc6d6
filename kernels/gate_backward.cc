// SPDX-License-Identifier: Apache-2.0
#include "kernels/gate_backward.h"

#include "kernels/sample_checks.h"

namespace tl {

void CheckArgs(const GateBackwardArgs& args) {
  TL_CHECK_EQ(args.d.rank(), 2);
  TL_CHECK_EQ(args.gate.rank(), 2);
  CheckLike(args.d_residual, args.d);
  const int64_t count = args.gate.shape[0];
  CheckSamples(args.samples, args.d.shape[0], count);
  CheckPerSample(args.gate, count, args.d);
  if (!args.d_gate) return;
  CheckPerSample(args.d_gate, count, args.d);
  CheckLike(args.residual, args.d);
}

}  // namespace tl
