// SPDX-License-Identifier: Apache-2.0
#include "kernels/row_matmul.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const RowMatmulArgs& args) {
  TL_CHECK(args.x.rank() == 2 && args.w.rank() == 2 && args.y.rank() == 2);
  const int64_t rows = args.x.shape[0], width = args.x.shape[1], outputs = args.w.shape[0];
  CheckShape(args.w, {outputs, width});
  CheckShape(args.y, {rows, outputs});
  CheckSameType(args.w, args.x);
  TL_CHECK(args.y.dtype == args.x.dtype || args.y.dtype == DType::kF32) << Name(args.y.dtype);
  for (const Tensor* t : {&args.x, &args.w, &args.y}) CheckLastAxis(*t);
  if (args.bias) {
    CheckShape(args.bias, {outputs});
    CheckSameType(args.bias, args.x);
    CheckLastAxis(args.bias);
  }
}

}  // namespace tl
