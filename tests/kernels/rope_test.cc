// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/rope.h"

namespace tl {
namespace {

Doubles Table(int64_t positions, int64_t head_size) {
  const int64_t half = head_size / 2;
  Doubles table(positions * head_size);
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t j = 0; j < half; ++j) {
      const double angle = p * std::pow(10000.0, -static_cast<double>(j) / half);
      table[p * head_size + j] = RoundedTo(DType::kF32, std::cos(angle));
      table[p * head_size + half + j] = RoundedTo(DType::kF32, std::sin(angle));
    }
  }
  return table;
}

TEST(RopeTwin, FiniteDifferences) {
  const Doubles x = Normals(DType::kF32, 3 * 2 * 6, 1), dy = Normals(DType::kF32, 3 * 2 * 6, 2);
  const Doubles table = Table(9, 6);
  const std::vector<int32_t> positions = {4, 0, 8};
  const auto f = [&](const Doubles& at) {
    return Dot(dy, reference::Rope(at, positions, table, 2, 6));
  };
  EXPECT_LE(GradientError(f, x, reference::RopeBackward(dy, positions, table, 2, 6)), 1e-7);
}

// q and k of a fused [rows, (Hq + 2 Hkv) D] buffer, in place.
TEST(Rope, MatchesTheTwin) {
  Stream& stream = TestStream();
  struct Case {
    int64_t rows, heads, kv_heads, head_size;
  };
  for (const auto [rows, heads, kv_heads, head_size] :
       {Case{1, 1, 1, 2}, Case{7, 3, 1, 14}, Case{113, 4, 2, 32}, Case{239, 6, 6, 64},
        Case{1023, 2, 1, 80}, Case{0, 2, 1, 32}}) {
    const int64_t kept = (heads + kv_heads) * head_size, wide = kept + kv_heads * head_size;
    const Doubles table = Table(50, head_size);
    const std::vector<int32_t> positions = Integers(rows, 50, 7);
    for (const DType dtype : kFloatTypes) {
      const Doubles all = Normals(dtype, rows * wide, 1);
      Doubles x;
      for (int64_t r = 0; r < rows; ++r) x.insert(x.end(), &all[r * wide], &all[r * wide] + kept);
      Owned buffer(dtype, {rows, wide}, all);
      const Owned tt(DType::kF32, {50, 2, head_size / 2}, table);
      const Tensor view = buffer.tensor().Slice(1, 0, kept).SplitAxis(1, head_size);
      const Owned tp({rows}, positions);
      for (const auto direction : {RopeDirection::kForward, RopeDirection::kInverse}) {
        buffer.Set(all);
        const int sign = direction == RopeDirection::kForward ? 1 : -1;
        const size_t all_heads = heads + kv_heads;
        const Doubles ref = reference::Rope(x, positions, table, all_heads, head_size, sign);
        const auto naive = reference::Rope(As<float>(x), positions, As<float>(table), all_heads,
                                           head_size, static_cast<float>(sign));
        Rope(stream, {.x = view, .positions = tp, .table = tt, .direction = direction});
        const Doubles now = buffer.Get();
        Doubles y;
        for (int64_t r = 0; r < rows; ++r) {
          y.insert(y.end(), &now[r * wide], &now[r * wide] + kept);
          for (int64_t j = kept; j < wide; ++j) ASSERT_EQ(now[r * wide + j], all[r * wide + j]);
        }
        ExpectWithinBound(dtype, y, ref, naive, "rope" + At(rows, head_size));
      }
    }
  }
}

}  // namespace
}  // namespace tl
