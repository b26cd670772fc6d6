// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/swiglu.h"

namespace tl {
namespace {

TEST(SwigluTwin, FiniteDifferences) {
  const Doubles x = Normals(DType::kF32, 3 * 10, 1, 2.0), dy = Normals(DType::kF32, 3 * 5, 2);
  const auto f = [&](const Doubles& at) { return Dot(dy, reference::Swiglu(at, 5)); };
  EXPECT_LE(GradientError(f, x, reference::SwigluBackward(dy, x, 5)), 1e-7);
}

TEST(Swiglu, MatchesTheTwin) {
  Stream& stream = TestStream();
  struct Size {
    int64_t rows, width;
  };
  for (const auto [rows, width] : {Size{1, 1}, Size{7, 7}, Size{3, 113}, Size{113, 239},
                                   Size{7, 1023}, Size{239, 1024}, Size{0, 8}}) {
    for (const DType dtype : kFloatTypes) {
      const Doubles x = Normals(dtype, rows * 2 * width, 1, 3.0),
                    dy = Normals(dtype, rows * width, 2);
      Owned gate_up(dtype, {rows, 2 * width}, x), y(dtype, {rows, width});
      Swiglu(stream, {.y = y, .gate_up = gate_up});
      ExpectWithinBound(dtype, y.Get(), reference::Swiglu(x, width),
                        reference::Swiglu(As<float>(x), width), "y" + At(rows, width));

      const Owned tdy(dtype, {rows, width}, dy);
      Owned d_gate_up(dtype, {rows, 2 * width});
      SwigluBackward(stream, {.d_gate_up = d_gate_up, .dy = tdy, .gate_up = gate_up});
      ExpectWithinBound(dtype, d_gate_up.Get(), reference::SwigluBackward(dy, x, width),
                        reference::SwigluBackward(As<float>(dy), As<float>(x), width),
                        "d_gate_up" + At(rows, width));
      SwigluBackward(stream, {.d_gate_up = gate_up, .dy = tdy, .gate_up = gate_up});
      EXPECT_EQ(gate_up.Bytes(), d_gate_up.Bytes());
    }
  }
}

TEST(Swiglu, SaturatesWithoutOverflow) {
  Stream& stream = TestStream();
  const Doubles gate = {-1e30, -200, -100, -88, -20, 0, 20, 88, 100, 200, 1e30};
  const auto n = static_cast<int64_t>(gate.size());
  Doubles x(gate);
  x.resize(2 * n, 1.0);
  const Owned gate_up(DType::kF32, {1, 2 * n}, x), dy(DType::kF32, {1, n}, Doubles(n, 1.0));
  Owned y(DType::kF32, {1, n}), d_gate_up(DType::kF32, {1, 2 * n});
  Swiglu(stream, {.y = y, .gate_up = gate_up});
  SwigluBackward(stream, {.d_gate_up = d_gate_up, .dy = dy, .gate_up = gate_up});
  const Doubles got = y.Get(), grad = d_gate_up.Get();
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(got[i], gate[i] / (1 + std::exp(-gate[i])), 1e-6 * std::fabs(gate[i])) << gate[i];
    if (std::fabs(gate[i]) >= 88) {
      EXPECT_NEAR(grad[i], gate[i] > 0, 1e-6) << gate[i];
    }
  }
}

}  // namespace
}  // namespace tl
