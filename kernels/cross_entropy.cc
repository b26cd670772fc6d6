// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const CrossEntropyTargetArgs& args) {
  const int64_t rows = args.logits.shape[0];
  CheckShape(args.target_logit, {rows});
  CheckShape(args.targets, {rows});
  TL_CHECK(0 <= args.valid && args.valid <= args.logits.shape[1]) << "valid " << args.valid;
}

void CheckArgs(const CrossEntropyStatsArgs& args) {
  const int64_t rows = args.logits.shape[0];
  CheckShape(args.stats, {rows, 4});
  CheckType(args.stats, DType::kF32);
  CheckContiguous(args.stats);
  CheckShape(args.target_logit, {rows});
  TL_CHECK(0 <= args.valid && args.valid <= args.logits.shape[1]) << "valid " << args.valid;
}

void CheckArgs(const CrossEntropyMergeArgs& args) {
  const int64_t rows = args.all_stats.shape[1];
  CheckShape(args.all_stats, {args.all_stats.shape[0], rows, 4});
  CheckType(args.all_stats, DType::kF32);
  CheckContiguous(args.all_stats);
  for (const Tensor* t : {&args.lse, &args.target_logit, &args.targets}) CheckShape(*t, {rows});
  for (const Tensor* t : {&args.loss, &args.greedy, &args.rank}) {
    if (*t) CheckShape(*t, {rows});
  }
}

void CheckArgs(const CrossEntropyGradArgs& args) {
  const int64_t rows = args.logits.shape[0];
  CheckSameShape(args.d_logits, args.logits);
  CheckShape(args.lse, {rows});
  CheckShape(args.targets, {rows});
  TL_CHECK(0 <= args.valid && args.valid <= args.logits.shape[1]) << "valid " << args.valid;
}

}  // namespace tl
