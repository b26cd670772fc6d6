// SPDX-License-Identifier: Apache-2.0
#include "kernels/residual_silu.h"

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/residual_silu.h"

namespace tl {
namespace {

TEST(ResidualSiluTwin, FiniteDifferences) {
  const Doubles x = Normals(DType::kF32, 40, 1), a = Normals(DType::kF32, 40, 2, 3.0),
                dy = Normals(DType::kF32, 40, 3);
  const auto f = [&](const Doubles& at) { return Dot(dy, reference::ResidualSilu(x, at)); };
  EXPECT_LE(GradientError(f, a, reference::ResidualSiluBackward(dy, a)), 1e-7);
}

TEST(ResidualSilu, MatchesTheTwin) {
  Stream& stream = TestStream();
  for (const auto& [rows, width] :
       {std::pair<int64_t, int64_t>{1, 1}, {7, 7}, {113, 239}, {0, 8}}) {
    for (const DType dtype : kFloatTypes) {
      const Doubles x = Normals(dtype, rows * width, 1), a = Normals(dtype, rows * width, 2, 3.0),
                    dy = Normals(dtype, rows * width, 3);
      const Shape shape{rows, width};
      Owned tx(dtype, shape, x), ta(dtype, shape, a), tdy(dtype, shape, dy);
      Owned y(dtype, shape), d_a(dtype, shape);
      ResidualSilu(stream, {.y = y, .x = tx, .a = ta});
      ExpectWithinBound(dtype, y.Get(), reference::ResidualSilu(x, a),
                        reference::ResidualSilu(As<float>(x), As<float>(a)), "y" + At(rows, width));
      ResidualSiluBackward(stream, {.d_a = d_a, .dy = tdy, .a = ta});
      ExpectWithinBound(dtype, d_a.Get(), reference::ResidualSiluBackward(dy, a),
                        reference::ResidualSiluBackward(As<float>(dy), As<float>(a)),
                        "d_a" + At(rows, width));
      ResidualSilu(stream, {.y = tx, .x = tx, .a = ta});
      EXPECT_EQ(tx.Bytes(), y.Bytes());
      // SiLU alone.
      const Doubles none(rows * width);
      ResidualSilu(stream, {.y = y, .a = ta});
      ExpectWithinBound(dtype, y.Get(), reference::ResidualSilu(none, a),
                        reference::ResidualSilu(As<float>(none), As<float>(a)),
                        "silu" + At(rows, width));
      ResidualSiluBackward(stream, {.d_a = ta, .dy = tdy, .a = ta});
      EXPECT_EQ(ta.Bytes(), d_a.Bytes());
    }
  }
}

}  // namespace
}  // namespace tl
