// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include <tuple>

#include "tests/kernels/kernel_test.h"
#include "tests/reference/adamw.h"

namespace tl {
namespace {

constexpr DType kF32 = DType::kF32;

std::vector<float> Floats(const Owned& t) { return As<float>(t.Get()); }

TEST(AdamW, MatchesTheTwinOverSteps) {
  Stream& stream = TestStream();
  for (const int64_t n : {1, 7, 113, 239, 1023, 65537}) {
    const Doubles p = Normals(kF32, n, 1), zero(n);
    Owned tp(kF32, {n}, p), tm(kF32, {n}, zero), tv(kF32, {n}, zero);
    Owned low(DType::kBF16, {n}), ema(kF32, {n}, p);
    // beta and eps as the kernel's fp32 has them.
    const reference::AdamWOptions<float> options = {0.5f * 1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f};
    const reference::AdamWOptions<double> exact = {options.lr, options.beta1, options.beta2,
                                                   options.eps, options.weight_decay};
    reference::AdamWState<double> ref = {p, zero, zero};
    reference::AdamWState<float> naive = {As<float>(p), As<float>(zero), As<float>(zero)};
    Doubles ref_ema = p;
    std::vector<float> naive_ema = As<float>(p);
    for (int step = 1; step <= 5; ++step) {
      Doubles grad = Normals(kF32, n, 10 + step);
      grad[0] = 0;  // a gradient of exactly zero moves nothing but the decay
      const Owned tg(kF32, {n}, grad);
      Doubles unscaled(grad);
      for (double& g : unscaled) g *= 0.25;
      reference::AdamW(ref, unscaled, exact, step);
      reference::AdamW(naive, As<float>(unscaled), options, step);
      const float rate = 0.75f / static_cast<float>(step);
      reference::Average(ref_ema, ref.p, double{rate});
      reference::Average(naive_ema, naive.p, rate);
      const Placed<StepScalars> scalars(
          {.lr = 1e-2f, .grad_factor = 0.25f, .adam_step = step, .ema_rate = rate});
      AdamW(stream, {.p = tp,
                     .m = tm,
                     .v = tv,
                     .grad = tg,
                     .weight = low,
                     .ema = ema,
                     .scalars = scalars.get(),
                     .lr_scale = 0.5f,
                     .weight_decay = 0.1f});
    }
    ExpectWithinBound(kF32, tp.Get(), ref.p, naive.p, "p" + At(n));
    ExpectWithinBound(kF32, tm.Get(), ref.m, naive.m, "m" + At(n));
    ExpectWithinBound(kF32, tv.Get(), ref.v, naive.v, "v" + At(n));
    ExpectWithinBound(kF32, ema.Get(), ref_ema, naive_ema, "ema" + At(n));
    const Doubles weight = low.Get();
    const std::vector<float> master = Floats(tp);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(weight[i], RoundedTo(DType::kBF16, master[i]));
  }
}

TEST(AdamW, WritesTheSameMasterForAnyWeightType) {
  Stream& stream = TestStream();
  constexpr int64_t n = 1023;
  const Owned grad(kF32, {n}, Normals(kF32, n, 2));
  const Placed<StepScalars> scalars({.lr = 1e-3f, .adam_step = 3});
  const auto run = [&](const Tensor& weight) {
    Owned p(kF32, {n}, Normals(kF32, n, 1)), m(kF32, {n}, Normals(kF32, n, 3));
    Owned v(kF32, {n}, Doubles(n, 0.5));
    AdamW(stream,
          {.p = p, .m = m, .v = v, .grad = grad, .weight = weight, .scalars = scalars.get()});
    return Floats(p);
  };
  const std::vector<float> master = run({});
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    Owned weight(dtype, {n});
    EXPECT_EQ(run(weight), master);
    const Doubles got = weight.Get();
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(got[i], RoundedTo(dtype, master[i]));
  }
}

// The average changes no bit of what is trained; a rate of 1 makes it the new weights.
TEST(AdamW, TheAverageLeavesTheRestAlone) {
  constexpr int64_t n = 1023;
  const Owned grad(kF32, {n}, Normals(kF32, n, 2));
  for (const DType dtype : {kF32, DType::kBF16, DType::kF16}) {
    std::vector<std::vector<uint8_t>> without;
    for (const float rate : {0.0f, 0.25f, 1.0f}) {
      const Placed<StepScalars> scalars({.lr = 1e-3f, .adam_step = 3, .ema_rate = rate});
      const Owned p(kF32, {n}, Normals(kF32, n, 1)), m(kF32, {n}, Normals(kF32, n, 3));
      const Owned v(kF32, {n}, Doubles(n, 0.5)), ema(kF32, {n}, Normals(kF32, n, 4));
      const Owned weight(dtype, {n});
      const std::vector<float> before = Floats(ema);
      AdamW(TestStream(), {.p = p,
                           .m = m,
                           .v = v,
                           .grad = grad,
                           .weight = dtype == kF32 ? Tensor{} : weight.tensor(),
                           .ema = rate == 0.0f ? Tensor{} : ema.tensor(),
                           .scalars = scalars.get()});
      std::vector<std::vector<uint8_t>> trained = {p.Bytes(), m.Bytes(), v.Bytes()};
      if (dtype != kF32) trained.push_back(weight.Bytes());
      if (without.empty()) without = trained;
      EXPECT_EQ(trained, without) << rate;
      const std::vector<float> master = Floats(p), average = Floats(ema);
      for (int64_t i = 0; i < n; ++i)
        ASSERT_NEAR(average[i], before[i] + rate * (master[i] - before[i]), 1e-6f) << rate;
    }
  }
}

// A shard starts anywhere in a parameter: element by element gives the bits of whole vectors.
TEST(AdamW, StartsAnywhere) {
  constexpr int64_t n = (1 << 20) + 301, kOffset = 3;
  const Placed<StepScalars> scalars({.lr = 1e-3f, .adam_step = 2, .ema_rate = 0.125f});
  const auto run = [&](int64_t offset) {
    const auto ramp = [&](int64_t period, double low, double high) {
      Doubles values(offset + n);
      for (int64_t i = 0; i < n; ++i)
        values[offset + i] = low + (high - low) * static_cast<double>(i % period) / period;
      return values;
    };
    const Owned p(kF32, {offset + n}, ramp(997, -1, 1)), m(kF32, {offset + n}, ramp(83, -2, 2));
    const Owned v(kF32, {offset + n}, ramp(251, 0, 1)), g(kF32, {offset + n}, ramp(1013, -1, 1));
    const Owned low(DType::kBF16, {offset + n}, Doubles(offset + n));
    const Owned ema(kF32, {offset + n}, ramp(499, -1, 2));
    const auto part = [&](const Owned& t) { return t.tensor().Slice(0, offset, offset + n); };
    AdamW(TestStream(), {.p = part(p),
                         .m = part(m),
                         .v = part(v),
                         .grad = part(g),
                         .weight = part(low),
                         .ema = part(ema),
                         .scalars = scalars.get()});
    Doubles out;
    for (const Owned* t : {&p, &m, &v, &low, &ema}) {
      const Doubles values = t->Get();
      for (int64_t i = 0; i < offset; ++i) EXPECT_EQ(values[i], 0);
      out.insert(out.end(), values.begin() + offset, values.end());
    }
    return out;
  };
  EXPECT_EQ(run(kOffset), run(0));
}

TEST(AdamW, SkipsOnOverflow) {
  Stream& stream = TestStream();
  constexpr int64_t n = 113;
  Owned p(kF32, {n}, Normals(kF32, n, 1)), m(kF32, {n}), v(kF32, {n}), weight(DType::kF16, {n});
  Owned ema(kF32, {n}, Normals(kF32, n, 2));
  const Owned grad(kF32, {n});
  const auto before = p.Bytes(), poison = weight.Bytes(), average = ema.Bytes();
  const Placed<StepScalars> scalars({.lr = 1.0f, .skip = 1, .ema_rate = 0.5f});
  AdamW(stream, {.p = p,
                 .m = m,
                 .v = v,
                 .grad = grad,
                 .weight = weight,
                 .ema = ema,
                 .scalars = scalars.get()});
  EXPECT_EQ(p.Bytes(), before);
  EXPECT_EQ(ema.Bytes(), average);
  EXPECT_EQ(weight.Bytes(), poison);
}

// What a head alone uses stays as it is in steps that do not train that head: no decay either.
TEST(AdamW, LeavesHeadsThatAreNotTrained) {
  Stream& stream = TestStream();
  constexpr int64_t n = 113;
  StepScalars values{.lr = 1e-2f, .ema_rate = 0.5f};
  values.grad_scale[2] = 1.0f;
  const Placed<StepScalars> scalars(values);
  const Owned grad(kF32, {n}, Doubles(n));
  for (const int head : {-1, 1, 2}) {
    Owned p(kF32, {n}, Normals(kF32, n, 1)), m(kF32, {n}, Normals(kF32, n, 3));
    Owned v(kF32, {n}, Doubles(n, 0.5));
    Owned ema(kF32, {n}, Normals(kF32, n, 2));
    const auto state = [&] { return std::tuple(p.Bytes(), m.Bytes(), ema.Bytes()); };
    const auto before = state();
    AdamW(stream, {.p = p,
                   .m = m,
                   .v = v,
                   .grad = grad,
                   .ema = ema,
                   .scalars = scalars.get(),
                   .weight_decay = 0.1f,
                   .head = head});
    EXPECT_EQ(state() == before, head == 1) << head;
  }
}

}  // namespace
}  // namespace tl
