#include "kernels/cached_attention.h"

#include "kernels/checks.h"

namespace tl {

void CheckArgs(const CachedAttentionArgs& args) {
  TL_CHECK(args.q.rank() == 3 && args.k.rank() == 4);
  const int64_t rows = args.q.shape[0];
  CheckSameShape(args.o, args.q);
  CheckSameShape(args.v, args.k);
  TL_CHECK(args.k.shape[3] == args.q.shape[2] && args.k.shape[1] > 0 &&
           args.q.shape[1] % args.k.shape[1] == 0)
      << ToString(args.q.shape) << " over " << ToString(args.k.shape);
  for (const Tensor* x : {&args.o, &args.q, &args.k, &args.v}) {
    CheckSameType(*x, args.q);
    CheckLastAxis(*x);
  }
  CheckShape(args.sequences, {rows});
  CheckShape(args.prefix, {rows});
  CheckShape(args.ancestors, {rows, kTreeKeys / 32});
  CheckContiguous(args.ancestors);
}

}  // namespace tl
