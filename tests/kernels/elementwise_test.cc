// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.h"

#include <omp.h>

#include <limits>
#include <numeric>

#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

constexpr int64_t kElementCounts[] = {0, 1, 7, 113, 239, 1023, 100003};

Owned AllPatterns(DType dtype) {
  Owned t(dtype, {65536});
  std::vector<uint16_t> bits(65536);
  std::iota(bits.begin(), bits.end(), 0);
  t.Upload(bits.data(), 2 * bits.size());
  return t;
}

TEST(Convert, WidensAndNarrowsEveryPattern) {
  Stream& stream = TestStream();
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const Owned patterns = AllPatterns(dtype);
    Owned wide(DType::kF32, {65536}), back(dtype, {65536});
    Convert(stream, {.dst = wide, .src = patterns});
    Convert(stream, {.dst = back, .src = wide});
    const Doubles exact = patterns.Get(), got = wide.Get(), again = back.Get();
    const std::vector<uint8_t> before = patterns.Bytes(), after = back.Bytes();
    for (int i = 0; i < 65536; ++i) {
      if (std::isnan(exact[i])) {
        EXPECT_TRUE(std::isnan(got[i]) && std::isnan(again[i])) << i;
        continue;
      }
      EXPECT_EQ(got[i], exact[i]) << i;
      EXPECT_EQ(after[2 * i], before[2 * i]) << i;
      EXPECT_EQ(after[2 * i + 1], before[2 * i + 1]) << i;
    }
  }
}

// fp32 patterns around every 16-bit value and its halfway points, against the scalar conversion
// (itself checked in tests/device/dtype_test.cc).
TEST(Convert, RoundsToNearestEven) {
  Stream& stream = TestStream();
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    std::vector<float> x;
    const Doubles values = AllPatterns(dtype).Get();
    const uint32_t half = dtype == DType::kBF16 ? 0x8000u : 0x1000u;
    for (const double value : values) {
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
      for (const uint32_t add : {0u, 1u, half - 1, half, half + 1})
        x.push_back(std::bit_cast<float>(bits + add));
    }
    for (int i = -160; i < 130; ++i)
      for (const float f : {1.0f, 1.5f, -1.999999f}) x.push_back(std::ldexp(f, i));
    const auto n = static_cast<int64_t>(x.size());
    Owned out(dtype, {n});
    Convert(stream, {.dst = out, .src = Owned({n}, x)});
    const Doubles got = out.Get();
    for (int64_t i = 0; i < n; ++i) {
      const double expected = RoundedTo(dtype, x[i]);
      if (std::isnan(x[i])) {
        ASSERT_TRUE(std::isnan(got[i])) << i;
      } else {
        ASSERT_EQ(got[i], expected) << x[i];
        ASSERT_EQ(std::signbit(got[i]), std::signbit(x[i])) << x[i];
      }
    }
  }
}

TEST(Convert, EveryPairOfTypesAndSize) {
  Stream& stream = TestStream();
  for (const DType from : kFloatTypes) {
    for (const DType to : kFloatTypes) {
      for (const int64_t n : kElementCounts) {
        const Doubles x = Normals(from, n, 1);
        Owned dst(to, {n});
        Convert(stream, {.dst = dst, .src = Owned(from, {n}, x)});
        const Doubles got = dst.Get();
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(got[i], RoundedTo(to, x[i]));
      }
    }
  }
}

TEST(Add, RoundsOnce) {
  Stream& stream = TestStream();
  for (const DType dtype : kFloatTypes) {
    for (const int64_t n : kElementCounts) {
      const Doubles a = Normals(dtype, n, 1), b = Normals(dtype, n, 2);
      Owned ta(dtype, {n}, a), tb(dtype, {n}, b), out(dtype, {n});
      Add(stream, {.out = out, .a = ta, .b = tb});
      const Doubles got = out.Get();
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(got[i], RoundedTo(dtype, a[i] + b[i]));
      Add(stream, {.out = tb, .a = ta, .b = tb});
      EXPECT_EQ(tb.Bytes(), out.Bytes());
      Add(stream, {.out = ta, .a = ta, .b = Owned(dtype, {n}, b)});
      EXPECT_EQ(ta.Bytes(), out.Bytes());
    }
  }
}

TEST(SumRows, AddsInOrder) {
  Stream& stream = TestStream();
  for (const DType dtype : kFloatTypes) {
    for (const DType to : {dtype, DType::kF32}) {
      for (const int64_t n : kElementCounts) {
        for (const int64_t rows : {1, 2, 5}) {
          const Doubles parts = Normals(dtype, rows * n, 1);
          Doubles ref(n);
          for (int64_t i = 0; i < n; ++i) {
            float sum = static_cast<float>(parts[i]);
            for (int64_t r = 1; r < rows; ++r) sum += static_cast<float>(parts[r * n + i]);
            ref[i] = RoundedTo(to, sum);
          }
          Owned tp(dtype, {rows, n}, parts), out(to, {n});
          SumRows(stream, {.out = out, .parts = tp});
          EXPECT_EQ(out.Get(), ref);
          if (to != dtype) continue;
          const Tensor row = tp.tensor().Slice(0, 0, 1).Reshape({n});
          SumRows(stream, {.out = row, .parts = tp});
          EXPECT_EQ(std::memcmp(tp.Bytes().data(), out.Bytes().data(), n * SizeOf(to)), 0);
        }
      }
    }
  }
}

TEST(Scale, Multiplies) {
  Stream& stream = TestStream();
  for (const DType dtype : kFloatTypes) {
    for (const int64_t n : kElementCounts) {
      const Doubles x = Normals(dtype, n, 1);
      Owned t(dtype, {n}, x);
      Scale(stream, {.x = t, .factor = 0.3f});
      const Doubles got = t.Get();
      for (int64_t i = 0; i < n; ++i)
        ASSERT_EQ(got[i], RoundedTo(dtype, static_cast<float>(x[i]) * 0.3f));
    }
  }
}

// Ranges that no vector of 16 bytes fits: the same values, and nothing beside them touched.
TEST(Flat, StartsAnywhere) {
  Stream& stream = TestStream();
  constexpr int64_t n = 239, kRoom = n + 16;
  for (const DType dtype : kFloatTypes) {
    const Doubles a = Normals(dtype, kRoom, 1), b = Normals(dtype, kRoom, 2);
    const Owned ta(dtype, {kRoom}, a), tb(dtype, {kRoom}, b);
    for (const int64_t at : {1, 2, 3, 4, 5, 8}) {
      const auto part = [&](const Owned& t) { return t.tensor().Slice(0, at, at + n); };
      const auto expect = [&](const Owned& out, const Doubles& before, auto value) {
        const Doubles got = out.Get();
        for (int64_t i = 0; i < kRoom; ++i) {
          const bool inside = i >= at && i < at + n;
          ASSERT_EQ(got[i], inside ? RoundedTo(out.tensor().dtype, value(i)) : before[i]) << i;
        }
      };
      Owned out(dtype, {kRoom}, b), wide(DType::kF32, {kRoom}, b);
      Add(stream, {.out = part(out), .a = part(ta), .b = part(tb)});
      expect(out, b, [&](int64_t i) { return a[i] + b[i]; });
      Convert(stream, {.dst = part(wide), .src = part(ta)});
      expect(wide, b, [&](int64_t i) { return a[i]; });
      out.Set(b);
      Scale(stream, {.x = part(out), .factor = 2.0f});
      expect(out, b, [&](int64_t i) { return 2 * b[i]; });
      out.Set(b);
      SumRows(stream, {.out = part(out), .parts = part(ta).Reshape({1, n})});
      expect(out, b, [&](int64_t i) { return a[i]; });
    }
  }
}

TEST(BiasBackward, SumsRowsForAnyNumberOfThreads) {
  Stream& stream = TestStream();
  struct Size {
    int64_t rows, width;
  };
  for (const auto [rows, width] : {Size{1, 1}, Size{7, 7}, Size{113, 239}, Size{239, 1023}}) {
    for (const DType dtype : kFloatTypes) {
      const Doubles dy = Normals(dtype, rows * width, 1), before = Normals(DType::kF32, width, 2);
      for (const bool accumulate : {false, true}) {
        Doubles ref = accumulate ? before : Doubles(width);
        std::vector<float> naive = As<float>(ref);
        for (int64_t n = 0; n < rows; ++n) {
          for (int64_t j = 0; j < width; ++j) {
            ref[j] += dy[n * width + j];
            naive[j] += static_cast<float>(dy[n * width + j]);
          }
        }
        std::vector<uint8_t> first;
        for (const int threads : {1, 2, 5}) {
          omp_set_num_threads(threads);
          Owned out(DType::kF32, {width});
          if (accumulate) out.Set(before);
          BiasBackward(
              stream,
              {.d_bias = out, .dy = Owned(dtype, {rows, width}, dy), .accumulate = accumulate});
          ExpectWithinBound(DType::kF32, out.Get(), ref, naive, "d_bias" + At(rows, width));
          if (first.empty()) first = out.Bytes();
          EXPECT_EQ(out.Bytes(), first);
        }
      }
    }
  }
}

TEST(Exchange, SwapsEveryBit) {
  Stream& stream = TestStream();
  for (const int64_t n : kElementCounts) {
    for (const int64_t offset : {0, 3}) {  // a shard starts anywhere
      Doubles x = Normals(DType::kF32, offset + n, 1);
      if (n > 4) x[offset + 4] = -0.0;
      if (n > 5) x[offset + 5] = std::numeric_limits<double>::quiet_NaN();
      const Owned a(DType::kF32, {offset + n}, x);
      const Owned b(DType::kF32, {offset + n}, Normals(DType::kF32, offset + n, 2));
      const auto was_a = a.Bytes(), was_b = b.Bytes();
      const auto swap = [&] {
        Exchange(stream, {.a = a.tensor().Slice(0, offset, offset + n),
                          .b = b.tensor().Slice(0, offset, offset + n)});
      };
      const auto joined = [&](std::vector<uint8_t> head, const std::vector<uint8_t>& tail) {
        std::copy(tail.begin() + 4 * offset, tail.end(), head.begin() + 4 * offset);
        return head;
      };
      swap();
      EXPECT_EQ(a.Bytes(), joined(was_a, was_b)) << n;
      EXPECT_EQ(b.Bytes(), joined(was_b, was_a)) << n;
      swap();
      EXPECT_EQ(a.Bytes(), was_a) << n;
      EXPECT_EQ(b.Bytes(), was_b) << n;
    }
  }
}

TEST(SumSquares, CountsNonFiniteAndIgnoresThreads) {
  Stream& stream = TestStream();
  std::vector<int64_t> sizes(std::begin(kElementCounts), std::end(kElementCounts));
  sizes.push_back((2 << 20) + 5);  // more blocks than a GPU adds at once
  for (const int64_t n : sizes) {
    Doubles x = Normals(DType::kF32, n, 1);
    double bad = 0, sum = 0;
    for (int64_t i = 0; i < n; i += 97) {
      x[i] = i % 2 ? std::numeric_limits<double>::quiet_NaN()
                   : std::numeric_limits<double>::infinity() * (i % 4 ? 1 : -1);
      ++bad;
    }
    for (const double v : x) sum += std::isfinite(v) ? v * v : 0;
    const Owned tx(DType::kF32, {n}, x);
    std::vector<uint8_t> first;
    for (const int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      Owned out(DType::kF32, {2}, {3.0, 1.0});
      SumSquares(stream, {.out = out, .x = tx, .weight = 0.5f});
      EXPECT_NEAR(out.Get()[0], 3.0 + 0.5 * sum, 1e-6 * (3.0 + sum));
      EXPECT_EQ(out.Get()[1], 1.0 + bad);
      if (first.empty()) first = out.Bytes();
      EXPECT_EQ(out.Bytes(), first);
    }
  }
}

}  // namespace
}  // namespace tl
