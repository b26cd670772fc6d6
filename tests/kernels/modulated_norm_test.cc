// SPDX-License-Identifier: Apache-2.0
#include "kernels/modulated_norm.h"

#include <omp.h>

#include <cmath>

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/sample_cases.h"
#include "tests/reference/modulated_norm.h"

namespace tl {
namespace {

constexpr float kModulatedEps = 1e-5f;
// With a small eps the gradient of a vector of one element is a difference of equal numbers.
constexpr float kLargeEps = 0.1f;

TEST(ModulatedNormTwin, FiniteDifferences) {
  constexpr size_t kRows = 5, kWidth = 4, kSamples = 3;
  const reference::SampleOfRow sample{2, 1};
  const auto normals = [](int64_t n, uint64_t key) { return Normals(DType::kF32, n, key); };
  const Doubles x = normals(kRows * kWidth, 1), residual = normals(kRows * kWidth, 2);
  const Doubles gate = normals(kSamples * kWidth, 3), shift = normals(kSamples * kWidth, 4);
  const Doubles scale = normals(kSamples * kWidth, 5);
  const Doubles dy = normals(kRows * kWidth, 6), d_sum = normals(kRows * kWidth, 7);
  // Both of the norm and of what the residual stream becomes.
  const auto loss = [&](const Doubles& x, const Doubles& residual, const Doubles& gate,
                        const Doubles& shift, const Doubles& scale) {
    const Doubles h = reference::GatedAdd(x, residual, gate, kWidth, sample);
    const auto out = reference::ModulatedNorm(h, shift, scale, kWidth, sample, kModulatedEps);
    return Dot(dy, out.y) + Dot(d_sum, h);
  };
  const Doubles h = reference::GatedAdd(x, residual, gate, kWidth, sample);
  const auto out = reference::ModulatedNorm(h, shift, scale, kWidth, sample, kModulatedEps);
  auto norm = reference::ModulatedNormBackward(dy, h, scale, out.rstd, kWidth, sample);
  for (size_t i = 0; i < d_sum.size(); ++i) norm.dx[i] += d_sum[i];
  const auto gated = reference::GateBackward(norm.dx, residual, gate, kWidth, sample);
  const auto error = [&](const Doubles& at, const Doubles& gradient, const auto& f) {
    return GradientError(f, at, gradient);
  };
  EXPECT_LE(error(x, norm.dx, [&](const auto& v) { return loss(v, residual, gate, shift, scale); }),
            1e-7);
  EXPECT_LE(error(residual, gated.d_residual,
                  [&](const auto& v) { return loss(x, v, gate, shift, scale); }),
            1e-7);
  EXPECT_LE(
      error(gate, gated.d_gate, [&](const auto& v) { return loss(x, residual, v, shift, scale); }),
      1e-7);
  EXPECT_LE(
      error(shift, norm.d_shift, [&](const auto& v) { return loss(x, residual, gate, v, scale); }),
      1e-7);
  EXPECT_LE(
      error(scale, norm.d_scale, [&](const auto& v) { return loss(x, residual, gate, shift, v); }),
      1e-7);
}

TEST(ModulatedNorm, MatchesTheTwin) {
  for (const DType dtype : kFloatTypes) {
    for (const SampleCase& c : kSampleCases) {
      const Doubles x = Normals(dtype, c.rows * c.width, 1);
      const Modulation m(c, 2);
      const auto ref =
          reference::ModulatedNorm(x, m.part(0), m.part(1), c.width, c.sample(), kModulatedEps);
      const auto naive =
          reference::ModulatedNorm(As<float>(x), As<float>(m.part(0)), As<float>(m.part(1)),
                                   c.width, c.sample(), kModulatedEps);
      Owned tx(dtype, c.shape(), x), ty(dtype, c.shape()), rstd(DType::kF32, {c.rows});
      ModulatedNorm(TestStream(), {.y = ty,
                                   .rstd = rstd,
                                   .x = tx,
                                   .shift = m.view(0),
                                   .scale = m.view(1),
                                   .samples = c.samples,
                                   .eps = kModulatedEps});
      ExpectWithinBound(dtype, ty.Get(), ref.y, naive.y, "y" + At(c.rows, c.width));
      ExpectWithinBound(DType::kF32, rstd.Get(), ref.rstd, naive.rstd,
                        "rstd" + At(c.rows, c.width));
      // In place, without rstd: the same bits.
      ModulatedNorm(TestStream(), {.y = tx,
                                   .x = tx,
                                   .shift = m.view(0),
                                   .scale = m.view(1),
                                   .samples = c.samples,
                                   .eps = kModulatedEps});
      EXPECT_EQ(tx.Bytes(), ty.Bytes());
    }
  }
}

// Without a gate as with one of ones; the sum in its own place, in x's and in the residual's.
TEST(ModulatedNorm, AddsTheGatedResidual) {
  for (const DType dtype : kFloatTypes) {
    for (const SampleCase& c : kSampleCases) {
      const Doubles x = Normals(dtype, c.rows * c.width, 1),
                    r = Normals(dtype, c.rows * c.width, 4);
      const Modulation m(c, 2);
      enum { kNoGate, kApart, kSumIsX, kSumIsResidual };
      for (const int way : {kNoGate, kApart, kSumIsX, kSumIsResidual}) {
        const Doubles gate = way == kNoGate ? Doubles(m.part(2).size(), 1.0) : m.part(2);
        Owned tx(dtype, c.shape(), x), tr(dtype, c.shape(), r), ts(dtype, c.shape());
        Owned ty(dtype, c.shape()), rstd(DType::kF32, {c.rows});
        Owned& sum = way == kSumIsX ? tx : way == kSumIsResidual ? tr : ts;
        ModulatedNorm(TestStream(), {.y = ty,
                                     .rstd = rstd,
                                     .x = tx,
                                     .shift = m.view(0),
                                     .scale = m.view(1),
                                     .samples = c.samples,
                                     .eps = kModulatedEps,
                                     .residual = tr,
                                     .gate = way == kNoGate ? Tensor{} : m.view(2),
                                     .sum = sum});
        const Doubles h = sum.Get();
        ExpectWithinBound(
            dtype, h, reference::GatedAdd(x, r, gate, c.width, c.sample()),
            reference::GatedAdd(As<float>(x), As<float>(r), As<float>(gate), c.width, c.sample()),
            "sum" + At(c.rows, c.width));
        // Of the rounded sum.
        ExpectWithinBound(
            dtype, ty.Get(),
            reference::ModulatedNorm(h, m.part(0), m.part(1), c.width, c.sample(), kModulatedEps).y,
            reference::ModulatedNorm(As<float>(h), As<float>(m.part(0)), As<float>(m.part(1)),
                                     c.width, c.sample(), kModulatedEps)
                .y,
            "y+" + At(c.rows, c.width));
      }
    }
  }
}

TEST(ModulatedNorm, ShowsAnOverflow) {
  const SampleCase c{2, 239, 2, {1, 0}};
  Doubles x(2 * c.width, 1.0);
  for (int64_t i = 0; i < c.width; ++i) x[c.width + i] = i % 2 ? 1e30 : -1e30;
  const Modulation m(c, 2);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Owned tx(dtype, c.shape(), x);
    Owned ty(dtype, c.shape()), rstd(DType::kF32, {2});
    ModulatedNorm(TestStream(), {.y = ty,
                                 .rstd = rstd,
                                 .x = tx,
                                 .shift = m.view(0),
                                 .scale = m.view(1),
                                 .samples = c.samples});
    const Doubles y = ty.Get();
    for (int64_t i = 0; i < 2 * c.width; ++i) EXPECT_EQ(std::isnan(y[i]), i >= c.width) << i;
    EXPECT_FALSE(std::isnan(rstd.Get()[0]));
    EXPECT_TRUE(std::isnan(rstd.Get()[1]));
  }
}

TEST(ModulatedNormBackward, MatchesTheTwin) {
  for (const DType dtype : kFloatTypes) {
    for (const SampleCase& c : kSampleCases) {
      const Doubles x = Normals(dtype, c.rows * c.width, 1),
                    dy = Normals(dtype, c.rows * c.width, 3);
      const Doubles extra = Normals(dtype, c.rows * c.width, 4);
      const Modulation m(c, 2);
      const Doubles &shift = m.part(0), &scale = m.part(1);
      const auto rstd =
          reference::ModulatedNorm(x, shift, scale, c.width, c.sample(), kLargeEps).rstd;
      const auto ref = reference::ModulatedNormBackward(dy, x, scale, rstd, c.width, c.sample());
      const auto naive = reference::ModulatedNormBackward(
          As<float>(dy), As<float>(x), As<float>(scale),
          reference::ModulatedNorm(As<float>(x), As<float>(shift), As<float>(scale), c.width,
                                   c.sample(), kLargeEps)
              .rstd,
          c.width, c.sample());
      const Owned tx(dtype, c.shape(), x), tr(DType::kF32, {c.rows}, rstd);
      Owned tdy(dtype, c.shape(), dy), dx(dtype, c.shape());
      ModulationGradients d(c);
      ModulatedNormBackwardArgs args = {.dx = dx,
                                        .d_shift = d.view(0),
                                        .d_scale = d.view(1),
                                        .dy = tdy,
                                        .x = tx,
                                        .scale = m.view(1),
                                        .rstd = tr,
                                        .samples = c.samples};
      ModulatedNormBackward(TestStream(), args);
      ExpectWithinBound(dtype, dx.Get(), ref.dx, naive.dx, "dx" + At(c.rows, c.width));
      ExpectWithinBound(DType::kF32, d.part(0), ref.d_shift, naive.d_shift,
                        "d_shift" + At(c.rows, c.width));
      ExpectWithinBound(DType::kF32, d.part(1), ref.d_scale, naive.d_scale,
                        "d_scale" + At(c.rows, c.width));
      d.ExpectZeros(0, c);
      d.ExpectZeros(1, c);
      d.ExpectUntouched(2);

      // With a gradient from the residual path, in its place, without those of shift and scale.
      Owned d_sum(dtype, c.shape(), extra);
      args.d_shift = args.d_scale = {};
      args.dx = args.d_sum = d_sum;
      ModulatedNormBackward(TestStream(), args);
      const auto plus = [&](auto sum) {
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += extra[i];
        return sum;
      };
      ExpectWithinBound(dtype, d_sum.Get(), plus(ref.dx), plus(naive.dx),
                        "dx+" + At(c.rows, c.width));

      // In place of dy: the same bits.
      args.d_sum = {};
      args.dx = tdy;
      ModulatedNormBackward(TestStream(), args);
      EXPECT_EQ(tdy.Bytes(), dx.Bytes());
    }
  }
}

// What a sample gets does not depend on the others, nor on the number of threads.
TEST(ModulatedNormBackward, KeepsASamplesBits) {
  constexpr int64_t kLength = 149, kWidth = 96, kSamples = 4;
  const SampleCase all{kSamples * kLength, kWidth, kSamples, {kLength, 0}};
  const Owned x(DType::kBF16, all.shape(), Normals(DType::kBF16, all.rows * kWidth, 1));
  const Owned dy(DType::kBF16, all.shape(), Normals(DType::kBF16, all.rows * kWidth, 2));
  const Modulation m(all, 3);
  struct Results {
    std::vector<uint8_t> y, dx;
    Doubles d_shift, d_scale;
  };
  const auto run = [&](int64_t begin, int64_t end) {
    const SampleCase c{(end - begin) * kLength, kWidth, end - begin, {kLength, 0}};
    const auto rows = [&](const Owned& t) {
      return t.tensor().Slice(0, begin * kLength, end * kLength);
    };
    const Tensor shift = m.view(0).Slice(0, begin, end), scale = m.view(1).Slice(0, begin, end);
    Owned y(DType::kBF16, c.shape()), rstd(DType::kF32, {c.rows}), dx(DType::kBF16, c.shape());
    ModulationGradients d(c);
    ModulatedNorm(
        TestStream(),
        {.y = y, .rstd = rstd, .x = rows(x), .shift = shift, .scale = scale, .samples = c.samples});
    ModulatedNormBackward(TestStream(), {.dx = dx,
                                         .d_shift = d.view(0),
                                         .d_scale = d.view(1),
                                         .dy = rows(dy),
                                         .x = rows(x),
                                         .scale = scale,
                                         .rstd = rstd,
                                         .samples = c.samples});
    return Results{y.Bytes(), dx.Bytes(), d.part(0), d.part(1)};
  };
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Results whole = run(0, kSamples);
  omp_set_num_threads(3);
  const Results again = run(0, kSamples), third = run(2, 3);
  omp_set_num_threads(threads);
  EXPECT_EQ(again.y, whole.y);
  EXPECT_EQ(again.dx, whole.dx);
  EXPECT_EQ(again.d_shift, whole.d_shift);
  EXPECT_EQ(again.d_scale, whole.d_scale);
  const int64_t bytes = kLength * kWidth * 2;
  EXPECT_EQ(std::memcmp(third.y.data(), whole.y.data() + 2 * bytes, bytes), 0);
  EXPECT_EQ(std::memcmp(third.dx.data(), whole.dx.data() + 2 * bytes, bytes), 0);
  for (int64_t j = 0; j < kWidth; ++j) {
    EXPECT_EQ(third.d_shift[j], whole.d_shift[2 * kWidth + j]);
    EXPECT_EQ(third.d_scale[j], whole.d_scale[2 * kWidth + j]);
  }
}

}  // namespace
}  // namespace tl
