// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <limits>

#include "kernels/checks.h"

namespace tl {
namespace {

void CheckView(const Tensor& x, const Tensor& like) {
  CheckLike(x, like);
  CheckLastAxis(x);
}

void CheckStatistics(const Tensor& x, const Tensor& q) {
  CheckShape(x, {q.shape[0], q.shape[2], q.shape[1]});
  CheckType(x, DType::kF32);
  CheckContiguous(x);
}

// What both passes take.
template <class Args>
void CheckInputs(const Args& args) {
  const Tensor& q = args.q;
  const Tensor& k = args.k;
  TL_CHECK(q.rank() == 4 && k.rank() == 4) << ToString(q.shape) << " " << ToString(k.shape);
  const int64_t batch = q.shape[0], tq = q.shape[1], tk = k.shape[1], d = q.shape[3];
  TL_CHECK(k.shape[0] == batch && k.shape[3] == d && k.shape[2] > 0 && q.shape[2] % k.shape[2] == 0)
      << "q " << ToString(q.shape) << ", k " << ToString(k.shape);
  TL_CHECK(32 <= d && d <= 256 && d % 8 == 0) << "head size " << d;
  constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();
  TL_CHECK(tq < kLimit && tk < kLimit) << ToString(q.shape) << " " << ToString(k.shape);
  TL_CHECK(q.dtype == DType::kF32 || q.dtype == DType::kBF16 || q.dtype == DType::kF16)
      << Name(q.dtype);
  CheckSameType(k, q);
  CheckLastAxis(q);
  CheckView(args.v, k);
  CheckView(args.o, q);
  CheckStatistics(args.lse, q);
  const AttentionMask& mask = args.mask;
  TL_CHECK(mask.kind != MaskKind::kWindow || mask.window > 0) << "window " << mask.window;
  TL_CHECK(static_cast<bool>(mask.q_segments) == static_cast<bool>(mask.k_segments));
  if (mask.q_segments) {
    CheckShape(mask.q_segments, {batch, tq});
    CheckShape(mask.k_segments, {batch, tk});
    CheckContiguous(mask.q_segments);
    CheckContiguous(mask.k_segments);
  }
}

}  // namespace

void CheckArgs(const AttentionArgs& args) { CheckInputs(args); }

double MeanKeys(int64_t length, int64_t window) {
  const auto t = static_cast<double>(length);
  const double most = window > 0 ? std::min(t, static_cast<double>(window)) : t;
  // Query i, from 1, sees min(i, most) keys.
  return (most * (most + 1.0) / 2.0 + (t - most) * most) / t;
}

void CheckArgs(const AttentionBackwardArgs& args) {
  CheckInputs(args);
  for (const Tensor* x : {&args.dq, &args.d_o}) CheckView(*x, args.q);
  for (const Tensor* x : {&args.dk, &args.dv}) CheckView(*x, args.k);
  CheckStatistics(args.delta, args.q);
}

int64_t AttentionBackwardScratch(const AttentionSizes& sizes) {
  const auto padded = [](int64_t t) { return (t + 127) / 128 * 128; };
  int64_t d = 256;
  for (const int64_t next : {192, 128, 96, 64}) d = sizes.d <= next ? next : d;
  const int64_t positions = sizes.batch * padded(sizes.tq), queries = positions * sizes.q_heads;
  const int64_t keys =
      sizes.q_heads > sizes.k_heads ? sizes.batch * padded(sizes.tk) * sizes.k_heads : 0;
  // Two counters for each 32 rows at most; tables start at cache lines.
  const int64_t words = queries * (d + 2) + keys * 2 * d + positions * 2 + (queries + keys) / 16;
  return 4 * words + 9 * 128;
}

}  // namespace tl
