// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const EmbeddingArgs& args) {
  CheckShape(args.tokens, {args.y.shape[0]});
  CheckShape(args.table, {args.table.shape[0], args.y.shape[1]});
  CheckSameType(args.table, args.y);
}

void CheckArgs(const EmbeddingBackwardArgs& args) {
  CheckShape(args.tokens, {args.dy.shape[0]});
  CheckShape(args.d_table, {args.d_table.shape[0], args.dy.shape[1]});
  CheckType(args.d_table, DType::kF32);
}

}  // namespace tl
