// SPDX-License-Identifier: Apache-2.0
#include "kernels/distill.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const DistillArgs& args) {
  const int64_t rows = args.logits.shape[0];
  for (const Tensor* t : {&args.d_logits, &args.teacher}) CheckSameShape(*t, args.logits);
  for (const Tensor* t : {&args.loss, &args.lse, &args.teacher_lse, &args.targets})
    CheckShape(*t, {rows});
  TL_CHECK(0 <= args.valid && args.valid <= args.logits.shape[1]) << "valid " << args.valid;
}

}  // namespace tl
