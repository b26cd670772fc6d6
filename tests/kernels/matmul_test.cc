// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include "kernels/matmul_choices.h"
#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

struct ProductSizes {
  int64_t m, n, k;
};

// op(a) op(b) in T, rows of a and b as stored.
template <typename T>
std::vector<T> Product(const std::vector<T>& a, const std::vector<T>& b, const ProductSizes& s,
                       bool ta, bool tb) {
  std::vector<T> c(s.m * s.n);
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t l = 0; l < s.k; ++l) {
      const T x = a[ta ? l * s.m + i : i * s.k + l];
      for (int64_t j = 0; j < s.n; ++j) c[i * s.n + j] += x * b[tb ? j * s.k + l : l * s.n + j];
    }
  }
  return c;
}

Doubles Absolute(Doubles x) {
  for (double& value : x) value = std::fabs(value);
  return x;
}

// A matrix whose rows lie `gap` elements apart, `gap` of them before the first: NaN, as made.
class Strided {
 public:
  Strided(DType dtype, int64_t rows, int64_t columns, int64_t gap)
      : columns_(columns), gap_(gap), all_(dtype, {rows, columns + 2 * gap}) {
    view_ = all_.tensor().Slice(1, gap, gap + columns);
  }
  const Tensor& tensor() const { return view_; }
  void Set(const Doubles& values) {
    Doubles all(all_.tensor().elements(), std::nan(""));
    for (size_t i = 0; i < values.size(); ++i) all[Place(i)] = values[i];
    all_.Set(all);
  }
  Doubles Get() const {
    const Doubles all = all_.Get();
    Doubles out(view_.elements());
    for (size_t i = 0; i < out.size(); ++i) out[i] = all[Place(i)];
    for (size_t i = 0; i < all.size(); ++i) {
      const int64_t column = static_cast<int64_t>(i) % (columns_ + 2 * gap_) - gap_;
      if (column >= 0 && column < columns_) continue;
      EXPECT_TRUE(std::isnan(all[i])) << "between rows";
    }
    return out;
  }

 private:
  size_t Place(size_t i) const {
    return i / columns_ * (columns_ + 2 * gap_) + gap_ + i % columns_;
  }
  int64_t columns_, gap_;
  Owned all_;
  Tensor view_;
};

void CheckProduct(const ProductSizes& s, DType in, DType out, bool ta, bool tb, float beta,
                  bool with_bias, int64_t gap) {
  const Doubles a = Normals(in, s.m * s.k, 1), b = Normals(in, s.k * s.n, 2);
  const Doubles before = Normals(out, s.m * s.n, 3), bias = Normals(in, s.n, 4);
  Doubles ref = Product(a, b, s, ta, tb);
  std::vector<float> naive = Product(As<float>(a), As<float>(b), s, ta, tb);
  for (int64_t i = 0; i < s.m * s.n; ++i) {
    const double more = beta * before[i] + (with_bias ? bias[i % s.n] : 0.0);
    ref[i] += more;
    naive[i] += static_cast<float>(more);
  }
  Strided ma(in, ta ? s.k : s.m, ta ? s.m : s.k, gap), mb(in, tb ? s.n : s.k, tb ? s.k : s.n, gap);
  Strided mc(out, s.m, s.n, gap);
  const Owned mbias(in, {s.n}, bias);
  ma.Set(a);
  mb.Set(b);
  if (beta != 0.0f) mc.Set(before);
  Matmul(TestStream(), {.c = mc.tensor(),
                        .a = ma.tensor(),
                        .b = mb.tensor(),
                        .trans_a = ta ? Transpose::kYes : Transpose::kNo,
                        .trans_b = tb ? Transpose::kYes : Transpose::kNo,
                        .beta = beta,
                        .bias = with_bias ? mbias.tensor() : Tensor{}});
  double more = 0.0;
  if (in != DType::kF32 && out == DType::kF32) {
    const Doubles sizes = Product(Absolute(a), Absolute(b), s, ta, tb);
    more = TensorCoreError(s.k, *std::max_element(sizes.begin(), sizes.end()));
  }
  ExpectWithinBound(out, mc.Get(), ref, naive,
                    std::string("c_of_") + Name(in) + (ta ? " T" : " N") + (tb ? "T" : "N") +
                        " beta " + std::to_string(beta) + (with_bias ? " bias" : "") + " gap " +
                        std::to_string(gap) + " k " + std::to_string(s.k) + At(s.m, s.n),
                    more);
}

constexpr ProductSizes kProductSizes[] = {
    {1, 1, 1}, {7, 5, 3}, {113, 64, 203}, {64, 96, 128}, {1, 239, 17}};

TEST(Matmul, EveryTranspositionTypeAndStride) {
  for (const ProductSizes& s : kProductSizes) {
    for (const DType in : kFloatTypes) {
      for (const int mode : {0, 1, 2, 3}) {
        for (const int64_t gap : {0, 1, 8})
          CheckProduct(s, in, in, mode & 1, mode & 2, 0.0f, false, gap);
      }
    }
  }
}

TEST(Matmul, AddsToWideAndNarrowSums) {
  for (const ProductSizes& s : kProductSizes) {
    for (const DType in : kFloatTypes) {
      for (const DType out : {in, DType::kF32}) {
        CheckProduct(s, in, out, true, false, 1.0f, false, 0);
        CheckProduct(s, in, out, false, true, 0.5f, false, 3);
      }
    }
  }
}

TEST(Matmul, AddsABias) {
  for (const ProductSizes& s : kProductSizes) {
    for (const DType in : kFloatTypes) {
      for (const DType out : {in, DType::kF32})
        CheckProduct(s, in, out, false, true, 0.0f, true, 0);
    }
  }
}

// As the gradient of a weight is made: over thousands of rows, into fp32.
TEST(Matmul, SumsOfManyTerms) {
  for (const DType in : kFloatTypes)
    CheckProduct({17, 24, 4096}, in, DType::kF32, true, false, 1.0f, false, 0);
}

TEST(Matmul, RepeatsToTheBit) {
  const ProductSizes s = {64, 96, 1024};
  for (const DType in : kFloatTypes) {
    const Owned a(in, {s.m, s.k}, Normals(in, s.m * s.k, 1));
    const Owned b(in, {s.n, s.k}, Normals(in, s.n * s.k, 2));
    std::vector<uint8_t> first;
    for (int i = 0; i < 4; ++i) {
      Owned c(DType::kF32, {s.m, s.n});
      Matmul(TestStream(), {.c = c, .a = a, .b = b, .trans_b = Transpose::kYes});
      if (first.empty()) first = c.Bytes();
      EXPECT_EQ(c.Bytes(), first);
    }
  }
}

const MatmulMade* FindMade(const std::vector<MatmulMade>& made, const MatmulArgs& args) {
  for (const MatmulMade& m : made) {
    if (m.args.a.shape == args.a.shape && m.args.c.shape == args.c.shape &&
        m.args.a.dtype == args.a.dtype && m.args.c.dtype == args.c.dtype &&
        m.args.trans_a == args.trans_a)
      return &m;
  }
  return nullptr;
}

// What else the library offers makes the same product, and listing it changes nothing.
TEST(Matmul, EveryChoiceIsTheProduct) {
  const ProductSizes s = {64, 96, 208};
  for (const DType in : kFloatTypes) {
    for (const DType out : {in, DType::kF32}) {
      const Doubles a = Normals(in, s.m * s.k, 1), b = Normals(in, s.k * s.n, 2);
      const Doubles before = Normals(out, s.m * s.n, 3);
      Doubles ref = Product(a, b, s, true, false);
      std::vector<float> naive = Product(As<float>(a), As<float>(b), s, true, false);
      double largest = 0.0;
      for (size_t i = 0; i < ref.size(); ++i) {
        ref[i] += before[i];
        naive[i] += static_cast<float>(before[i]);
        largest = std::max(largest, std::fabs(ref[i]));
      }
      double more = 0.0;
      if (in != DType::kF32 && out == DType::kF32) {
        const Doubles sizes = Product(Absolute(a), Absolute(b), s, true, false);
        more = TensorCoreError(s.k, *std::max_element(sizes.begin(), sizes.end()));
      }
      const Owned ma(in, {s.k, s.m}, a), mb(in, {s.k, s.n}, b);
      Owned mc(out, {s.m, s.n});
      MatmulArgs args = {.c = mc, .a = ma, .b = mb, .trans_a = Transpose::kYes, .beta = 1.0f};
      const auto run = [&](const MatmulChoice* choice) {
        mc.Set(before);
        args.choice = choice;
        Matmul(TestStream(), args);
        return mc.Bytes();
      };
      const std::vector<uint8_t> first = run(nullptr);
      std::vector<MatmulMade> all;
      MatmulChoices(TestStream(), {.made = &all});
      if (TestDevice().type == DeviceType::kCpu) {
        EXPECT_TRUE(all.empty());
        continue;
      }
      const MatmulMade* made = FindMade(all, args);
      ASSERT_NE(made, nullptr);
      EXPECT_GE(made->calls, 1);
      EXPECT_EQ(made->args.a.strides, args.a.strides);
      EXPECT_EQ(made->args.b.shape, args.b.shape);
      EXPECT_EQ(made->args.beta, 1.0f);
      EXPECT_EQ(made->args.bias.rank(), 0);
      for (const int64_t alignment : made->alignment) EXPECT_EQ(alignment, kMatmulAlignment);
      ASSERT_FALSE(made->choices.empty());
#if defined(TL_SIMT)
      EXPECT_EQ(made->choices.size(), 6u);
#endif
      for (const MatmulChoice& choice : made->choices) {
        const std::string what = "algorithm " + std::to_string(choice.id) + ", " +
                                 std::to_string(choice.parts) + " part(s), reduced " +
                                 Name(choice.reduction);
        if (choice.mask == 2 && choice.reduction != Reduction::kNone) {
          EXPECT_EQ(choice.reduction, Reduction::kComputeType) << what;
        }
        const std::vector<uint8_t> bytes = run(&choice);
        if (&choice == &made->choices[0]) {
          EXPECT_EQ(bytes, first);
        }
        const Doubles got = mc.Get();
        if (choice.reduction == Reduction::kNone || choice.reduction == Reduction::kComputeType ||
            out == DType::kF32) {
          ExpectWithinBound(out, got, ref, naive, "c_of_choices by " + what, more);
        } else {  // parts are rounded too, and may be larger than their sum
          for (size_t i = 0; i < ref.size(); ++i)
            EXPECT_LE(std::fabs(got[i] - ref[i]), 2 * choice.parts * Ulp(out, 2 * largest)) << what;
        }
      }
      EXPECT_EQ(run(nullptr), first);
    }
  }
}

#if defined(TL_SIMT)
TEST(Matmul, ListsTheFirstChoicesOfBothMasks) {
  const Owned a(DType::kF32, {8, 40}), b(DType::kF32, {8, 40});
  Owned c(DType::kF32, {8, 8});
  const MatmulArgs args = {.c = c, .a = a, .b = b, .trans_b = Transpose::kYes};
  for (int i = 0; i < 2; ++i) Matmul(TestStream(), args);
  std::vector<MatmulMade> all;
  MatmulChoices(TestStream(), {.made = &all, .most = 2});
  const MatmulMade* made = FindMade(all, args);
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(made->calls, 2);
  ASSERT_EQ(made->choices.size(), 3u);
  const auto expect = [&](int i, uint32_t mask, int place, Reduction reduction) {
    EXPECT_EQ(made->choices[i].mask, mask);
    EXPECT_EQ(made->choices[i].place, place);
    EXPECT_EQ(made->choices[i].reduction, reduction);
  };
  expect(0, 2, 1, Reduction::kNone);
  expect(1, 2, 2, Reduction::kNone);
  expect(2, 7, 2, Reduction::kInPlace);
}
#endif

TEST(Matmul, NothingToDo) {
  const Owned a(DType::kF32, {0, 4}), b(DType::kF32, {4, 3}), c(DType::kF32, {0, 3});
  Matmul(TestStream(), {.c = c, .a = a, .b = b});
}

}  // namespace
}  // namespace tl
