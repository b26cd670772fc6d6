// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include <omp.h>

#include <cmath>
#include <limits>

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/norm.h"

namespace tl {
namespace {

constexpr float kEps = 1e-5f;

struct Size {
  int64_t rows, width;
};
// The last rows are longer, or more, than what CUDA's kernels keep in registers or give one block.
constexpr Size kNormSizes[] = {{1, 1},     {7, 7}, {2, 113},  {113, 239}, {3, 1023},
                               {239, 768}, {0, 8}, {3, 2304}, {2, 8320},  {270, 1031}};

Doubles Plus(const Doubles& a, const Doubles& b) {
  Doubles out(a);
  for (size_t i = 0; i < a.size(); ++i) out[i] += b[i];
  return out;
}

std::vector<float> Plus(const std::vector<float>& a, const Doubles& b) {
  std::vector<float> out(a);
  for (size_t i = 0; i < a.size(); ++i) out[i] += static_cast<float>(b[i]);
  return out;
}

TEST(RmsNormTwin, FiniteDifferences) {
  constexpr int64_t kRows = 3, kWidth = 5;
  const Doubles x = Normals(DType::kF32, kRows * kWidth, 1), w = Normals(DType::kF32, kWidth, 2);
  const Doubles dy = Normals(DType::kF32, kRows * kWidth, 3);
  const auto rstd = reference::RmsNorm(x, w, kEps).rstd;
  const auto grads = reference::RmsNormBackward(dy, x, w, rstd);
  const auto of_x = [&](const Doubles& at) { return Dot(dy, reference::RmsNorm(at, w, kEps).y); };
  const auto of_w = [&](const Doubles& at) { return Dot(dy, reference::RmsNorm(x, at, kEps).y); };
  EXPECT_LE(GradientError(of_x, x, grads.dx), 1e-7);
  EXPECT_LE(GradientError(of_w, w, grads.dw), 1e-7);
}

TEST(RmsNorm, MatchesTheTwin) {
  Stream& stream = TestStream();
  for (const DType dtype : kFloatTypes) {
    for (const auto [rows, width] : kNormSizes) {
      const Doubles x = Normals(dtype, rows * width, 1), w = Normals(dtype, width, 2);
      const auto ref = reference::RmsNorm(x, w, kEps);
      const auto naive = reference::RmsNorm(As<float>(x), As<float>(w), kEps);
      Owned tx(dtype, {rows, width}, x), tw(dtype, {width}, w), ty(dtype, {rows, width});
      Owned rstd(DType::kF32, {rows});
      RmsNorm(stream, {.y = ty, .rstd = rstd, .x = tx, .w = tw, .eps = kEps});
      ExpectWithinBound(dtype, ty.Get(), ref.y, naive.y, "y" + At(rows, width));
      ExpectWithinBound(DType::kF32, rstd.Get(), ref.rstd, naive.rstd, "rstd" + At(rows, width));
      // In place, without rstd: the same bits.
      RmsNorm(stream, {.y = tx, .x = tx, .w = tw, .eps = kEps});
      EXPECT_EQ(tx.Bytes(), ty.Bytes());
    }
  }
}

TEST(RmsNorm, ShowsAnOverflow) {
  constexpr int64_t kWidth = 239;
  Doubles x(3 * kWidth, 1.0);
  for (int64_t i = 0; i < kWidth; ++i) x[kWidth + i] = i % 2 ? 1e30 : -1e30;
  x[2 * kWidth + 5] = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Owned tx(dtype, {3, kWidth}, x), tw(dtype, {kWidth}, Doubles(kWidth, 1.0));
    Owned ty(dtype, {3, kWidth}), rstd(DType::kF32, {3});
    RmsNorm(TestStream(), {.y = ty, .rstd = rstd, .x = tx, .w = tw, .eps = kEps});
    const auto y = ty.Get();
    for (int64_t i = 0; i < 3 * kWidth; ++i) EXPECT_EQ(std::isnan(y[i]), i >= kWidth) << i;
    for (int64_t row = 0; row < 3; ++row) EXPECT_EQ(std::isnan(rstd.Get()[row]), row > 0) << row;
  }
}

TEST(RmsNorm, AddsTheResidual) {
  Stream& stream = TestStream();
  for (const DType dtype : kFloatTypes) {
    for (const auto [rows, width] : kNormSizes) {
      const int64_t n = rows * width;
      const Doubles x = Normals(dtype, n, 1), r = Normals(dtype, n, 4),
                    w = Normals(dtype, width, 2);
      Doubles h = Plus(x, r);
      for (double& v : h) v = RoundedTo(dtype, v);
      const auto ref = reference::RmsNorm(h, w, kEps);
      const auto naive = reference::RmsNorm(As<float>(h), As<float>(w), kEps);
      const Owned tw(dtype, {width}, w);
      enum { kApart, kSumIsX, kSumIsResidual };
      for (const int alias : {kApart, kSumIsX, kSumIsResidual}) {
        Owned tx(dtype, {rows, width}, x), tr(dtype, {rows, width}, r), ts(dtype, {rows, width});
        Owned ty(dtype, {rows, width}), rstd(DType::kF32, {rows});
        Owned& sum = alias == kSumIsX ? tx : alias == kSumIsResidual ? tr : ts;
        RmsNorm(stream, {.y = ty, .rstd = rstd, .x = tx, .w = tw, .residual = tr, .sum = sum});
        EXPECT_EQ(sum.Get(), h) << Name(dtype) << At(rows, width);
        ExpectWithinBound(dtype, ty.Get(), ref.y, naive.y, "y" + At(rows, width));
      }
    }
  }
}

TEST(RmsNormBackward, MatchesTheTwin) {
  // With a small eps the gradient of a vector of one element is a difference of equal numbers.
  constexpr float kLargeEps = 0.1f;
  Stream& stream = TestStream();
  for (const DType dtype : kFloatTypes) {
    for (const auto [rows, width] : kNormSizes) {
      const int64_t n = rows * width;
      const Shape shape = {rows, width};
      const Doubles x = Normals(dtype, n, 1), w = Normals(dtype, width, 2);
      const Doubles dy = Normals(dtype, n, 3), extra = Normals(dtype, n, 4);
      const auto rstd = reference::RmsNorm(x, w, kLargeEps).rstd;
      const auto ref = reference::RmsNormBackward(dy, x, w, rstd);
      const auto naive = reference::RmsNormBackward(
          As<float>(dy), As<float>(x), As<float>(w),
          reference::RmsNorm(As<float>(x), As<float>(w), kLargeEps).rstd);
      const Owned tx(dtype, shape, x), tw(dtype, {width}, w), tr(DType::kF32, {rows}, rstd);
      Owned tdy(dtype, shape, dy), dx(dtype, shape), dw(DType::kF32, {width});
      RmsNormBackward(stream, {.dx = dx, .dw = dw, .dy = tdy, .x = tx, .w = tw, .rstd = tr});
      ExpectWithinBound(dtype, dx.Get(), ref.dx, naive.dx, "dx" + At(rows, width));
      ExpectWithinBound(DType::kF32, dw.Get(), ref.dw, naive.dw, "dw" + At(rows, width));

      // With a gradient from the residual path, in its place; dw added to.
      Owned dsum(dtype, shape, extra);
      const Doubles before = Normals(DType::kF32, width, 5);
      dw.Set(before);
      RmsNormBackward(stream, {.dx = dsum,
                               .dw = dw,
                               .dy = tdy,
                               .x = tx,
                               .w = tw,
                               .rstd = tr,
                               .d_sum = dsum,
                               .accumulate_dw = true});
      ExpectWithinBound(dtype, dsum.Get(), Plus(ref.dx, extra), Plus(naive.dx, extra),
                        "dx+" + At(rows, width));
      ExpectWithinBound(DType::kF32, dw.Get(), Plus(ref.dw, before), Plus(naive.dw, before),
                        "dw+" + At(rows, width));

      // In place of dy, without dw: the same bits.
      RmsNormBackward(stream, {.dx = tdy, .dy = tdy, .x = tx, .w = tw, .rstd = tr});
      EXPECT_EQ(tdy.Bytes(), dx.Bytes());
    }
  }
}

// The q/k norm: heads of a slice of a fused [rows, (Hq + 2 Hkv) D] buffer, in place.
TEST(RmsNorm, WorksOnHeadsOfAFusedBuffer) {
  Stream& stream = TestStream();
  constexpr int64_t kRows = 113, kHeads = 6, kKvHeads = 2, kD = 24;
  constexpr int64_t kWide = (kHeads + 2 * kKvHeads) * kD, kQ = kHeads * kD;
  for (const DType dtype : kFloatTypes) {
    const Doubles all = Normals(dtype, kRows * kWide, 1), w = Normals(dtype, kD, 2);
    const Doubles dall = Normals(dtype, kRows * kWide, 3);
    const auto keys_of = [&](const Doubles& from) {
      Doubles out;
      for (int64_t r = 0; r < kRows; ++r)
        out.insert(out.end(), &from[r * kWide + kQ], &from[r * kWide + kQ + kKvHeads * kD]);
      return out;
    };
    const auto view = [&](const Owned& t) {
      return t.tensor().Slice(1, kQ, kQ + kKvHeads * kD).SplitAxis(1, kD);
    };
    const auto expect_rest_untouched = [&](const Owned& t, const Doubles& before) {
      const Doubles now = t.Get();
      for (int64_t i = 0; i < kRows * kWide; ++i) {
        const int64_t column = i % kWide;
        if (column >= kQ && column < kQ + kKvHeads * kD) continue;
        ASSERT_EQ(now[i], before[i]) << i;
      }
    };
    const Doubles k = keys_of(all), dk = keys_of(dall);
    const auto ref = reference::RmsNorm(k, w, kEps);
    const auto naive = reference::RmsNorm(As<float>(k), As<float>(w), kEps);
    const Owned tw(dtype, {kD}, w), x(dtype, {kRows, kWide}, all);
    Owned y(dtype, {kRows, kWide}, all), rstd(DType::kF32, {kRows, kKvHeads});
    RmsNorm(stream, {.y = view(y), .rstd = rstd, .x = view(y), .w = tw, .eps = kEps});
    ExpectWithinBound(dtype, keys_of(y.Get()), ref.y, naive.y, "y");
    ExpectWithinBound(DType::kF32, rstd.Get(), ref.rstd, naive.rstd, "rstd");
    expect_rest_untouched(y, all);

    const auto ref_grad = reference::RmsNormBackward(dk, k, w, ref.rstd);
    const auto naive_grad =
        reference::RmsNormBackward(As<float>(dk), As<float>(k), As<float>(w), naive.rstd);
    Owned dx(dtype, {kRows, kWide}, dall), dw(DType::kF32, {kD});
    RmsNormBackward(
        stream, {.dx = view(dx), .dw = dw, .dy = view(dx), .x = view(x), .w = tw, .rstd = rstd});
    ExpectWithinBound(dtype, keys_of(dx.Get()), ref_grad.dx, naive_grad.dx, "dx");
    ExpectWithinBound(DType::kF32, dw.Get(), ref_grad.dw, naive_grad.dw, "dw");
    expect_rest_untouched(dx, dall);
  }
}

TEST(RmsNormBackward, RepeatsToTheBit) {
  Stream& stream = TestStream();
  constexpr int64_t kRows = 799, kWidth = 384;
  const Owned x(DType::kBF16, {kRows, kWidth}, Normals(DType::kBF16, kRows * kWidth, 1));
  const Owned dy(DType::kBF16, {kRows, kWidth}, Normals(DType::kBF16, kRows * kWidth, 2));
  const Owned w(DType::kBF16, {kWidth}, Normals(DType::kBF16, kWidth, 3));
  const Owned rstd(DType::kF32, {kRows}, Doubles(kRows, 1.0));
  const auto run = [&] {
    Owned dx(DType::kBF16, {kRows, kWidth}), dw(DType::kF32, {kWidth});
    RmsNormBackward(stream, {.dx = dx, .dw = dw, .dy = dy, .x = x, .w = w, .rstd = rstd});
    return dw.Bytes();
  };
  omp_set_num_threads(3);
  const auto first = run();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(run(), first);
}

}  // namespace
}  // namespace tl
