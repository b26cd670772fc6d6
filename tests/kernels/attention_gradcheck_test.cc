// SPDX-License-Identifier: Apache-2.0
// The backward formulas of attention, by finite differences of the fp64 twin's forward.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/reference/attention.h"

namespace tl {
namespace {

using reference::AttentionOptions;
using Vector = std::vector<double>;

void CheckAttentionGradients(const AttentionOptions& at) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  const auto make = [&](size_t n) {
    Vector x(n);
    for (double& value : x) value = normal(random);
    return x;
  };
  Vector q = make(at.QuerySize()), k = make(at.KeySize()), v = make(at.KeySize());
  const Vector d_o = make(at.QuerySize());
  const auto loss = [&] {
    const auto result = reference::Attention(at, q, k, v);
    double sum = 0.0;
    for (size_t i = 0; i < d_o.size(); ++i) sum += d_o[i] * result.o[i];
    return sum;
  };
  const auto result = reference::Attention(at, q, k, v);
  const auto gradients = reference::AttentionBackward(at, q, k, v, result.o, result.lse, d_o);
  const auto compare = [&](const char* name, Vector& x, const Vector& gradient) {
    double error = 0.0, size = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      // Fourth-order central differences.
      constexpr double kStep = 1e-3;
      const double kept = x[i];
      const auto at_offset = [&](double steps) {
        x[i] = kept + steps * kStep;
        return loss();
      };
      const double difference =
          (8.0 * (at_offset(1) - at_offset(-1)) - (at_offset(2) - at_offset(-2))) / (12.0 * kStep);
      x[i] = kept;
      error += (difference - gradient[i]) * (difference - gradient[i]);
      size += gradient[i] * gradient[i];
    }
    EXPECT_GT(size, 0.0) << name;
    EXPECT_LE(std::sqrt(error / size), 1e-7) << name;
  };
  compare("dq", q, gradients.dq);
  compare("dk", k, gradients.dk);
  compare("dv", v, gradients.dv);
}

TEST(AttentionGradcheck, Full) {
  CheckAttentionGradients({.batch = 2, .tq = 4, .tk = 6, .q_heads = 2, .k_heads = 2, .d = 8});
}

TEST(AttentionGradcheck, CausalGroupedWithOffset) {
  CheckAttentionGradients({.tq = 5,
                           .tk = 7,
                           .q_heads = 4,
                           .k_heads = 2,
                           .d = 8,
                           .mask = MaskKind::kCausal,
                           .q_start = 2,
                           .scale = 0.5});
}

TEST(AttentionGradcheck, WindowAndFullyMaskedRows) {
  CheckAttentionGradients({.tq = 9,
                           .tk = 6,
                           .q_heads = 2,
                           .k_heads = 1,
                           .d = 8,
                           .mask = MaskKind::kWindow,
                           .window = 2,
                           .k_start = 2});
}

TEST(AttentionGradcheck, Segments) {
  CheckAttentionGradients({.tq = 6,
                           .tk = 6,
                           .d = 8,
                           .mask = MaskKind::kCausal,
                           .q_segments = {0, 0, 1, 1, 3, 5},
                           .k_segments = {0, 0, 0, 1, 1, 5}});
}

}  // namespace
}  // namespace tl
