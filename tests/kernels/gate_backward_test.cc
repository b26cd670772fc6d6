// SPDX-License-Identifier: Apache-2.0
// The twin's gradients are proved in modulated_norm_test.cc.
#include "kernels/gate_backward.h"

#include "tests/kernels/kernel_test.h"
#include "tests/kernels/sample_cases.h"
#include "tests/reference/modulated_norm.h"

namespace tl {
namespace {

TEST(GateBackward, MatchesTheTwin) {
  for (const DType dtype : kFloatTypes) {
    for (const SampleCase& c : kSampleCases) {
      const Doubles dh = Normals(dtype, c.rows * c.width, 1),
                    r = Normals(dtype, c.rows * c.width, 3);
      const Modulation m(c, 2);
      const auto ref = reference::GateBackward(dh, r, m.part(2), c.width, c.sample());
      const auto naive = reference::GateBackward(As<float>(dh), As<float>(r), As<float>(m.part(2)),
                                                 c.width, c.sample());
      Owned td(dtype, c.shape(), dh), tr(dtype, c.shape(), r), out(dtype, c.shape());
      ModulationGradients d(c);
      GateBackwardArgs args = {.d_residual = out,
                               .d_gate = d.view(2),
                               .d = td,
                               .residual = tr,
                               .gate = m.view(2),
                               .samples = c.samples};
      GateBackward(TestStream(), args);
      ExpectWithinBound(dtype, out.Get(), ref.d_residual, naive.d_residual,
                        "d_residual" + At(c.rows, c.width));
      const Doubles d_gate = d.part(2);
      ExpectWithinBound(DType::kF32, d_gate, ref.d_gate, naive.d_gate,
                        "d_gate" + At(c.rows, c.width));
      d.ExpectZeros(2, c);
      d.ExpectUntouched(0);
      d.ExpectUntouched(1);

      // In place of the residual, then, without the gate's gradient, of d: the same bits.
      args.d_residual = tr;
      GateBackward(TestStream(), args);
      EXPECT_EQ(tr.Bytes(), out.Bytes());
      EXPECT_EQ(d.part(2), d_gate);
      args.d_residual = td;
      args.d_gate = args.residual = {};
      GateBackward(TestStream(), args);
      EXPECT_EQ(td.Bytes(), out.Bytes());
    }
  }
}

}  // namespace
}  // namespace tl
