// SPDX-License-Identifier: Apache-2.0
// Attention against its fp64 twin: max|out - ref| <= 2 max|naive - ref| + atol, where naive is the
// same arithmetic in fp32 with every intermediate rounded to the type, and atol is 4 ulp of
// max|ref|; lse stays in fp32, with the error of tensor cores' scores.
#include "kernels/attention.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>

#include "tests/kernels/kernel_test.h"
#include "tests/reference/attention.h"
#if defined(TL_SIMT)
#include "tests/simt/control.h"
#endif

namespace tl {
namespace {

using reference::AttentionOptions;

struct RoundToType {
  DType dtype;
  float operator()(float x) const {
    if (dtype == DType::kBF16) return ToFloat(FromFloat<BF16>(x));
    if (dtype == DType::kF16) return ToFloat(FromFloat<F16>(x));
    return x;
  }
};

double UlpOfOne(DType dtype) {
  return dtype == DType::kF32 ? 0x1p-23 : dtype == DType::kBF16 ? 0x1p-7 : 0x1p-10;
}

// A tensor [B, T, H, D] or of statistics with room between and around its rows that must not
// change: whole heads, and `columns` before and after each vector.
class Guarded {
 public:
  Guarded(Shape shape, DType dtype, int64_t heads_around = 0, int64_t columns = 0)
      : all_(dtype, Outer(shape, heads_around, columns)), view_(all_.tensor()) {
    if (shape.rank() != 4) return;
    view_ = view_.Slice(2, heads_around, heads_around + shape[2]);
    view_ = view_.Slice(3, columns, columns + shape[3]);
  }
  const Tensor& tensor() const { return view_; }

  void Write(const std::vector<float>& values) {
    Doubles all(all_.tensor().elements(), std::numeric_limits<double>::quiet_NaN());
    ForEach([&](size_t i, size_t at) { all[at] = values[i]; });
    all_.Set(all);
  }
  Doubles Read() const {
    const Doubles all = all_.Get();
    Doubles out;
    ForEach([&](size_t, size_t at) { out.push_back(all[at]); });
    return out;
  }
  // Whether what lies around the view is as it was made.
  bool Intact() const {
    std::vector<uint8_t> copy = all_.Bytes();
    const size_t element = SizeOf(view_.dtype);
    ForEach([&](size_t, size_t at) { std::memset(&copy[at * element], 0xff, element); });
    return copy == std::vector<uint8_t>(copy.size(), 0xff);
  }
  std::vector<uint8_t> bytes() const { return all_.Bytes(); }

 private:
  static Shape Outer(Shape shape, int64_t heads_around, int64_t columns) {
    if (shape.rank() != 4) return shape;
    shape[2] += 2 * heads_around;
    shape[3] += 2 * columns;
    return shape;
  }
  // f(index in the view, index in all).
  template <class F>
  void ForEach(const F& f) const {
    const int64_t first =
        (view_.data - all_.tensor().data) / static_cast<int64_t>(SizeOf(view_.dtype));
    for (int64_t i = 0; i < view_.elements(); ++i) {
      int64_t at = first, rest = i;
      for (int axis = view_.rank() - 1; axis >= 0; --axis) {
        at += rest % view_.shape[axis] * view_.strides[axis];
        rest /= view_.shape[axis];
      }
      f(i, at);
    }
  }

  Owned all_;
  Tensor view_;
};

std::vector<float> Normal(size_t n, DType dtype, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& value : x) value = RoundToType{dtype}(normal(random));
  return x;
}

std::vector<double> Wide(const std::vector<float>& x) { return {x.begin(), x.end()}; }

void ExpectClose(const char* name, DType dtype, const std::vector<double>& out,
                 const std::vector<double>& ref, const std::vector<float>& naive, double size = 0.0,
                 double more = 0.0) {
  double error = 0.0, bound = 0.0;
  ASSERT_EQ(out.size(), ref.size());
  for (size_t i = 0; i < ref.size(); ++i) {
    if (std::isinf(ref[i])) {
      ASSERT_EQ(out[i], ref[i]) << name << " at " << i;
      continue;
    }
    ASSERT_TRUE(std::isfinite(out[i])) << name << " at " << i << ": " << out[i];
    error = std::max(error, std::abs(out[i] - ref[i]));
    bound = std::max(bound, std::abs(naive[i] - ref[i]));
    size = std::max(size, std::abs(ref[i]));
  }
  ExpectErrorWithin(dtype, error, 2.0 * bound + 4.0 * UlpOfOne(dtype) * size + more, name);
}

// The largest norm of the vectors of d that x is made of.
double LargestNorm(const std::vector<float>& x, int64_t d) {
  double largest = 0.0;
  for (size_t i = 0; i < x.size(); i += d) {
    double squares = 0.0;
    for (size_t j = i; j < i + d; ++j) squares += static_cast<double>(x[j]) * x[j];
    largest = std::max(largest, squares);
  }
  return std::sqrt(largest);
}

// How far tensor cores' scores may be off; so far the log of a sum of their exponentials may be. By
// Cauchy and Schwarz no score's terms are together larger than the norms' product.
double ScoreError(const AttentionOptions& at, DType dtype, const std::vector<float>& q,
                  const std::vector<float>& k) {
  if (dtype == DType::kF32) return 0.0;
  return std::abs(at.Scale()) * TensorCoreError(at.d, LargestNorm(q, at.d) * LargestNorm(k, at.d));
}

// All outputs of one forward and backward pass, as bytes.
struct Outputs {
  Guarded o, lse, dq, dk, dv, delta;
};

Outputs RunKernels(const AttentionOptions& at, DType dtype, const std::vector<float>& q,
                   const std::vector<float>& k, const std::vector<float>& v,
                   const std::vector<float>& d_o, int64_t columns = 0) {
  const Shape queries = {at.batch, at.tq, at.q_heads, at.d};
  const Shape keys = {at.batch, at.tk, at.k_heads, at.d};
  const Shape statistics = {at.batch, at.q_heads, at.tq};
  Guarded gq(queries, dtype, 2, columns), gk(keys, dtype, 1, columns);
  Guarded gv(keys, dtype, 1, columns), gdo(queries, dtype, 0, columns);
  gq.Write(q);
  gk.Write(k);
  gv.Write(v);
  gdo.Write(d_o);
  Outputs run{Guarded(queries, dtype, 1, columns), Guarded(statistics, DType::kF32),
              Guarded(queries, dtype, 1, columns), Guarded(keys, dtype, 2, columns),
              Guarded(keys, dtype, 2, columns),    Guarded(statistics, DType::kF32)};
  std::optional<Owned> q_segments, k_segments;
  AttentionMask mask = {
      .kind = at.mask, .window = at.window, .q_start = at.q_start, .k_start = at.k_start};
  if (!at.q_segments.empty()) {
    mask.q_segments = q_segments.emplace(Shape{at.batch, at.tq}, at.q_segments);
    mask.k_segments = k_segments.emplace(Shape{at.batch, at.tk}, at.k_segments);
  }
  Stream& stream = TestStream();
  Attention(stream, {.o = run.o.tensor(),
                     .lse = run.lse.tensor(),
                     .q = gq.tensor(),
                     .k = gk.tensor(),
                     .v = gv.tensor(),
                     .mask = mask,
                     .scale = static_cast<float>(at.scale)});
  AttentionBackward(stream, {.dq = run.dq.tensor(),
                             .dk = run.dk.tensor(),
                             .dv = run.dv.tensor(),
                             .delta = run.delta.tensor(),
                             .d_o = gdo.tensor(),
                             .o = run.o.tensor(),
                             .lse = run.lse.tensor(),
                             .q = gq.tensor(),
                             .k = gk.tensor(),
                             .v = gv.tensor(),
                             .mask = mask,
                             .scale = static_cast<float>(at.scale)});
  return run;
}

// columns: around each vector; vectors then start anywhere.
void CheckAttention(const AttentionOptions& at, DType dtype, int64_t columns = 0) {
  SCOPED_TRACE(testing::Message() << Name(dtype) << " B" << at.batch << " H" << at.q_heads << "/"
                                  << at.k_heads << " T" << at.tq << "x" << at.tk << " d" << at.d
                                  << " mask " << static_cast<int>(at.mask));
  const auto q = Normal(at.QuerySize(), dtype, 1), k = Normal(at.KeySize(), dtype, 2);
  const auto v = Normal(at.KeySize(), dtype, 3), d_o = Normal(at.QuerySize(), dtype, 4);
  const auto ref = reference::Attention(at, Wide(q), Wide(k), Wide(v));
  const auto ref_back =
      reference::AttentionBackward(at, Wide(q), Wide(k), Wide(v), ref.o, ref.lse, Wide(d_o));
  const RoundToType round{dtype};
  const auto naive = reference::Attention(at, q, k, v, round);
  const auto naive_back = reference::AttentionBackward(at, q, k, v, naive.o, naive.lse, d_o, round);
  const Outputs run = RunKernels(at, dtype, q, k, v, d_o, columns);
  ExpectClose("o", dtype, run.o.Read(), ref.o, naive.o);
  // Scores and lse are never in the type; of 16 bits their products are exact.
  const auto naive_lse = dtype == DType::kF32 ? naive.lse : reference::Attention(at, q, k, v).lse;
  ExpectClose(dtype == DType::kF32 ? "lse" : "lse_of_16_bits", DType::kF32, run.lse.Read(), ref.lse,
              naive_lse, 0.0, ScoreError(at, dtype, q, k));
  // Where each query sees one key, dq and dk are 0, but the two terms of dp - delta are summed in
  // different orders here; what is left is measured against delta.
  double delta = 0.0, dq = 0.0;
  for (const double x : ref_back.delta) delta = std::max(delta, std::abs(x));
  for (const double x : ref_back.dq) dq = std::max(dq, std::abs(x));
  const double size = dq < 1e-9 * delta ? 2.0 * delta : 0.0;
  ExpectClose("dq", dtype, run.dq.Read(), ref_back.dq, naive_back.dq, size);
  ExpectClose("dk", dtype, run.dk.Read(), ref_back.dk, naive_back.dk, size);
  ExpectClose("dv", dtype, run.dv.Read(), ref_back.dv, naive_back.dv);
  ExpectClose("delta", dtype, run.delta.Read(), ref_back.delta, naive_back.delta);
  for (const Guarded* x : {&run.o, &run.lse, &run.dq, &run.dk, &run.dv, &run.delta})
    EXPECT_TRUE(x->Intact()) << "wrote outside an output";
}

// The test machine of CUDA's sources spends microseconds where a core spends nanoseconds: there the
// long cases are for bf16 alone. fp16 runs the same code, and fp32 loads by scalars, slowest of
// all.
bool Brief(DType dtype) { return kMachine && dtype != DType::kBF16; }

class AttentionOf : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, AttentionOf,
                         testing::Values(DType::kF32, DType::kBF16, DType::kF16),
                         [](const auto& info) { return std::string(Name(info.param)); });

TEST_P(AttentionOf, AwkwardLengths) {
  const int64_t lengths[][2] = {{1, 1},     {1, 203}, {239, 1},  {113, 203}, {203, 113},
                                {239, 239}, {799, 3}, {1, 1023}, {300, 700}, {1023, 1024}};
  for (const auto& [tq, tk] : lengths) {
    if (Brief(GetParam()) && tq * tk > 30000) continue;
    for (const MaskKind mask : {MaskKind::kNone, MaskKind::kCausal}) {
      // A causal mask has whole tiles too.
      if (kMachine && mask == MaskKind::kNone && tq * tk > 500000) continue;
      CheckAttention({.tq = tq, .tk = tk, .d = tq * tk > 60000 ? 32 : 64, .mask = mask},
                     GetParam());
    }
  }
}

TEST_P(AttentionOf, HeadSizes) {
  const int64_t t = Brief(GetParam()) ? 75 : 150, heads = kMachine ? 1 : 2;
  for (const int64_t d : {32, 40, 72, 80, 96, 128, 192, 256})
    CheckAttention(
        {.tq = t, .tk = t, .q_heads = heads, .k_heads = heads, .d = d, .mask = MaskKind::kCausal},
        GetParam());
}

TEST_P(AttentionOf, VectorsThatStartAnywhere) {
  for (const int64_t columns : {1, 2}) {
    CheckAttention(
        {.tq = 45, .tk = 70, .q_heads = 2, .d = 40, .mask = MaskKind::kCausal, .q_start = 25},
        GetParam(), columns);
  }
}

#if defined(TL_SIMT)
// GPUs with 99 KiB for a block, where the larger tiles do not fit.
TEST_P(AttentionOf, LittleSharedMemory) {
  if (GetParam() == DType::kF32) GTEST_SKIP() << "its kernels need little";
  ASSERT_EQ(setenv("TL_SIMT_SHARED_KIB", "99", 1), 0);
  for (const int64_t d : {64, 96, 128, 256})
    CheckAttention({.tq = 150, .tk = 150, .d = d, .mask = MaskKind::kCausal}, GetParam());
  ASSERT_EQ(unsetenv("TL_SIMT_SHARED_KIB"), 0);
}
#endif

TEST_P(AttentionOf, GroupedHeadsAndBatches) {
  const int64_t t = Brief(GetParam()) ? 65 : 130;
  constexpr int64_t kHeads[][2] = {{6, 1}, {6, 6}, {6, 3}, {14, 2}, {8, 1}};
  for (const auto& [q_heads, k_heads] : kHeads) {
    if (Brief(GetParam()) && q_heads != 6) continue;
    CheckAttention({.batch = q_heads == 6 ? 2 : 1,
                    .tq = t,
                    .tk = t,
                    .q_heads = q_heads,
                    .k_heads = k_heads,
                    .d = 32,
                    .mask = MaskKind::kCausal},
                   GetParam());
  }
}

TEST_P(AttentionOf, GroupedHeadsOfEverySize) {
  if (Brief(GetParam())) GTEST_SKIP() << "as bf16, or by scalars alone";
  for (const int64_t d : {64, 80, 128, 168, 256}) {
    CheckAttention({.tq = 70,
                    .tk = 140,
                    .q_heads = 3,
                    .k_heads = 1,
                    .d = d,
                    .mask = MaskKind::kWindow,
                    .window = 50,
                    .q_start = 60},
                   GetParam());
  }
}

TEST_P(AttentionOf, Windows) {
  const int64_t t = Brief(GetParam()) ? 239 : 799;
  for (const int64_t window : {1, 7, 128, 400}) {
    CheckAttention({.tq = t, .tk = t, .d = 32, .mask = MaskKind::kWindow, .window = window},
                   GetParam());
  }
}

TEST_P(AttentionOf, Positions) {
  CheckAttention({.tq = 64, .tk = 333, .d = 64, .mask = MaskKind::kCausal, .q_start = 200},
                 GetParam());
  CheckAttention({.tq = 300,
                  .tk = 200,
                  .d = 64,
                  .mask = MaskKind::kWindow,
                  .window = 50,
                  .q_start = 500,
                  .k_start = 480},
                 GetParam());
}

TEST_P(AttentionOf, FullyMaskedRows) {
  // The first 150 queries come before every key; in the other case no query sees any.
  CheckAttention({.tq = 300, .tk = 150, .d = 64, .mask = MaskKind::kCausal, .k_start = 150},
                 GetParam());
  const AttentionOptions none{
      .tq = 70, .tk = 90, .q_heads = 2, .d = 64, .mask = MaskKind::kCausal, .k_start = 100};
  CheckAttention(none, GetParam());
  const auto x = Normal(none.QuerySize(), GetParam(), 1), y = Normal(none.KeySize(), GetParam(), 2);
  const Outputs run = RunKernels(none, GetParam(), x, y, y, x);
  for (const Guarded* out : {&run.o, &run.dq, &run.dk, &run.dv}) {
    for (const double value : out->Read()) ASSERT_EQ(value, 0.0);
  }
}

TEST_P(AttentionOf, Segments) {
  const int64_t t = Brief(GetParam()) ? 150 : kMachine ? 260 : 500;
  AttentionOptions at{.batch = 2, .tq = t, .tk = t, .q_heads = 2, .k_heads = 1, .d = 64};
  std::mt19937_64 random(5);
  for (int64_t b = 0; b < at.batch; ++b) {
    int32_t segment = 0;
    for (int64_t i = 0; i < at.tq; ++i) {
      if (random() % 70 == 0) segment += 1 + static_cast<int32_t>(random() % 2);
      at.q_segments.push_back(segment);
    }
  }
  at.k_segments = at.q_segments;
  for (const MaskKind mask : {MaskKind::kNone, MaskKind::kCausal}) {
    at.mask = mask;
    CheckAttention(at, GetParam());
  }
  // Keys of other documents than the queries': some queries see nothing.
  for (int32_t& segment : at.k_segments) segment = segment / 2 * 2;
  at.mask = MaskKind::kNone;
  CheckAttention(at, GetParam());
}

TEST_P(AttentionOf, ScaleAndLargeScores) {
  CheckAttention({.tq = 100, .tk = 100, .d = 64, .mask = MaskKind::kCausal, .scale = 2.0},
                 GetParam());
  CheckAttention({.tq = 100, .tk = 100, .d = 64, .mask = MaskKind::kNone, .scale = -0.2},
                 GetParam());
}

TEST_P(AttentionOf, RepeatsToTheBit) {
  // One head and more threads than heads: keys are cut and dQ is added from parts.
  const int64_t t = Brief(GetParam()) ? 113 : kMachine ? 239 : 1000;
  const AttentionOptions at{
      .tq = t, .tk = t, .q_heads = 3, .k_heads = 1, .d = 64, .mask = MaskKind::kCausal};
  const DType dtype = GetParam();
  const auto q = Normal(at.QuerySize(), dtype, 1), k = Normal(at.KeySize(), dtype, 2);
  const auto v = Normal(at.KeySize(), dtype, 3), d_o = Normal(at.QuerySize(), dtype, 4);
  const int threads = omp_get_max_threads();
  const bool cpu = TestDevice().type == DeviceType::kCpu;
  for (const int count : cpu ? std::vector{1, 2, 3} : std::vector{threads}) {
    omp_set_num_threads(count);
    const Outputs first = RunKernels(at, dtype, q, k, v, d_o);
    for (int repeat = 0; repeat < (kMachine ? 2 : 4); ++repeat) {
#if defined(TL_SIMT)
      simt::SetOrder(repeat == 0 ? simt::Order::kDescending : simt::Order::kRandom);
#endif
      const Outputs again = RunKernels(at, dtype, q, k, v, d_o);
      EXPECT_EQ(first.o.bytes(), again.o.bytes());
      EXPECT_EQ(first.lse.bytes(), again.lse.bytes());
      EXPECT_EQ(first.dq.bytes(), again.dq.bytes());
      EXPECT_EQ(first.dk.bytes(), again.dk.bytes());
      EXPECT_EQ(first.dv.bytes(), again.dv.bytes());
    }
  }
  omp_set_num_threads(threads);
#if defined(TL_SIMT)
  simt::SetOrder(simt::Order::kAscending);
#endif
}

// What no query sees may be uninitialised memory.
TEST_P(AttentionOf, KeysThatNoQuerySeesMayBeNan) {
  AttentionOptions documents{.tq = 70, .tk = 200, .q_heads = 2, .d = 64};
  documents.q_segments.assign(70, 5);
  for (int i = 0; i < 200; ++i) documents.k_segments.push_back(i < 45 ? 4 : i < 140 ? 5 : 6);
  const AttentionOptions cases[] = {
      {.tq = 70, .tk = 200, .q_heads = 2, .d = 64, .mask = MaskKind::kCausal, .q_start = 60},
      {.tq = 40,
       .tk = 200,
       .q_heads = 2,
       .d = 64,
       .mask = MaskKind::kWindow,
       .window = 20,
       .q_start = 100},
      documents};
  const int64_t seen[][2] = {{0, 130}, {81, 140}, {45, 140}};
  const DType dtype = GetParam();
  for (size_t c = 0; c < std::size(cases); ++c) {
    SCOPED_TRACE(c);
    const AttentionOptions& at = cases[c];
    const auto q = Normal(at.QuerySize(), dtype, 1), d_o = Normal(at.QuerySize(), dtype, 4);
    auto k = Normal(at.KeySize(), dtype, 2), v = Normal(at.KeySize(), dtype, 3);
    const auto fill = [&](float value) {
      for (int64_t t = 0; t < at.tk; ++t) {
        if (seen[c][0] <= t && t < seen[c][1]) continue;
        std::fill_n(&k[at.Key(0, t, 0)], at.k_heads * at.d, value);
        std::fill_n(&v[at.Key(0, t, 0)], at.k_heads * at.d, value);
      }
    };
    fill(0.0f);
    const Outputs plain = RunKernels(at, dtype, q, k, v, d_o);
    fill(std::numeric_limits<float>::quiet_NaN());
    const Outputs poisoned = RunKernels(at, dtype, q, k, v, d_o);
    EXPECT_EQ(poisoned.o.Read(), plain.o.Read());
    EXPECT_EQ(poisoned.lse.Read(), plain.lse.Read());
    EXPECT_EQ(poisoned.dq.Read(), plain.dq.Read());
    EXPECT_EQ(poisoned.dk.Read(), plain.dk.Read());
    EXPECT_EQ(poisoned.dv.Read(), plain.dv.Read());
  }
}

TEST_P(AttentionOf, NanInputsAreNotHidden) {
  const AttentionOptions at{.tq = 40, .tk = 40, .d = 32, .mask = MaskKind::kCausal};
  const DType dtype = GetParam();
  auto q = Normal(at.QuerySize(), dtype, 1);
  const auto k = Normal(at.KeySize(), dtype, 2), v = Normal(at.KeySize(), dtype, 3);
  q[at.Query(0, 20, 0)] = std::numeric_limits<float>::quiet_NaN();
  const Outputs run = RunKernels(at, dtype, q, k, v, Normal(at.QuerySize(), dtype, 4));
  EXPECT_TRUE(std::isnan(run.o.Read()[at.Query(0, 20, 0)]));
  EXPECT_TRUE(std::isnan(run.lse.Read()[at.Statistic(0, 20, 0)]));
  EXPECT_TRUE(std::isnan(run.dk.Read()[at.Key(0, 3, 0)]));
  EXPECT_FALSE(std::isnan(run.o.Read()[at.Query(0, 19, 0)]));
}

}  // namespace
}  // namespace tl
