// SPDX-License-Identifier: Apache-2.0
// Attention in plain loops, forward and backward: in fp64 the twin that kernels are tested against,
// and with a narrower number and rounded intermediates the naive implementation that sets the
// bound.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/attention.h"

namespace tl::reference {

// q, o, do, dq: [batch, tq, q_heads, d]; k, v, dk, dv: [batch, tk, k_heads, d]; lse, delta: [batch,
// q_heads, tq]; all contiguous. Segments empty or [batch, t].
struct AttentionOptions {
  int64_t batch = 1, tq = 1, tk = 1, q_heads = 1, k_heads = 1, d = 32;
  MaskKind mask = MaskKind::kNone;
  int64_t window = 0, q_start = 0, k_start = 0;
  std::vector<int32_t> q_segments = {};
  std::vector<int32_t> k_segments = {};
  double scale = 0.0;  // 0: 1 / sqrt(d)

  bool Allowed(int64_t b, int64_t i, int64_t j) const {
    const int64_t query = q_start + i, key = k_start + j;
    if (mask != MaskKind::kNone && key > query) return false;
    if (mask == MaskKind::kWindow && key <= query - window) return false;
    return q_segments.empty() || q_segments[static_cast<size_t>(b * tq + i)] ==
                                     k_segments[static_cast<size_t>(b * tk + j)];
  }
  double Scale() const { return scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(d)); }
  size_t Query(int64_t b, int64_t i, int64_t h) const {
    return static_cast<size_t>(((b * tq + i) * q_heads + h) * d);
  }
  size_t Key(int64_t b, int64_t j, int64_t query_head) const {
    return static_cast<size_t>(((b * tk + j) * k_heads + query_head / (q_heads / k_heads)) * d);
  }
  size_t Statistic(int64_t b, int64_t i, int64_t h) const {
    return static_cast<size_t>((b * q_heads + h) * tq + i);
  }
  size_t QuerySize() const { return static_cast<size_t>(batch * tq * q_heads * d); }
  size_t KeySize() const { return static_cast<size_t>(batch * tk * k_heads * d); }
  size_t StatisticSize() const { return static_cast<size_t>(batch * q_heads * tq); }
};

// What leaves the arithmetic unchanged; others round each intermediate to a storage type.
struct Exact {
  template <typename Real>
  Real operator()(Real x) const {
    return x;
  }
};

template <typename Real>
struct AttentionResult {
  std::vector<Real> o, lse;
};
template <typename Real>
struct AttentionGradients {
  std::vector<Real> dq, dk, dv, delta;
};

template <typename Real>
Real Dot(const std::vector<Real>& a, size_t at_a, const std::vector<Real>& b, size_t at_b,
         int64_t d) {
  Real sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(d); ++i) sum += a[at_a + i] * b[at_b + i];
  return sum;
}

template <typename Real, class Round = Exact>
AttentionResult<Real> Attention(const AttentionOptions& at, const std::vector<Real>& q,
                                const std::vector<Real>& k, const std::vector<Real>& v,
                                Round round = {}) {
  constexpr Real kInf = std::numeric_limits<Real>::infinity();
  const Real scale = static_cast<Real>(at.Scale());
  AttentionResult<Real> out{std::vector<Real>(at.QuerySize(), 0),
                            std::vector<Real>(at.StatisticSize(), -kInf)};
  std::vector<Real> s(static_cast<size_t>(at.tk)), sums(static_cast<size_t>(at.d));
  for (int64_t b = 0; b < at.batch; ++b) {
    for (int64_t h = 0; h < at.q_heads; ++h) {
      for (int64_t i = 0; i < at.tq; ++i) {
        Real max = -kInf, sum = 0;
        for (int64_t j = 0; j < at.tk; ++j) {
          Real& score = s[static_cast<size_t>(j)];
          score = -kInf;
          if (!at.Allowed(b, i, j)) continue;
          score = round(scale * Dot(q, at.Query(b, i, h), k, at.Key(b, j, h), at.d));
          max = std::max(max, score);
        }
        if (max == -kInf) continue;
        for (const Real score : s) sum += std::exp(score - max);
        out.lse[at.Statistic(b, i, h)] = max + std::log(sum);
        sums.assign(sums.size(), 0);
        for (int64_t j = 0; j < at.tk; ++j) {
          const Real p = round(std::exp(s[static_cast<size_t>(j)] - max) / sum);
          for (size_t c = 0; c < sums.size(); ++c) sums[c] += p * v[at.Key(b, j, h) + c];
        }
        for (size_t c = 0; c < sums.size(); ++c) out.o[at.Query(b, i, h) + c] = round(sums[c]);
      }
    }
  }
  return out;
}

template <typename Real, class Round = Exact>
AttentionGradients<Real> AttentionBackward(const AttentionOptions& at, const std::vector<Real>& q,
                                           const std::vector<Real>& k, const std::vector<Real>& v,
                                           const std::vector<Real>& o, const std::vector<Real>& lse,
                                           const std::vector<Real>& d_o, Round round = {}) {
  const Real scale = static_cast<Real>(at.Scale());
  AttentionGradients<Real> out{
      std::vector<Real>(at.QuerySize(), 0), std::vector<Real>(at.KeySize(), 0),
      std::vector<Real>(at.KeySize(), 0), std::vector<Real>(at.StatisticSize(), 0)};
  for (int64_t b = 0; b < at.batch; ++b) {
    for (int64_t h = 0; h < at.q_heads; ++h) {
      for (int64_t i = 0; i < at.tq; ++i) {
        const size_t query = at.Query(b, i, h), statistic = at.Statistic(b, i, h);
        const Real delta = Dot(d_o, query, o, query, at.d);
        out.delta[statistic] = delta;
        for (int64_t j = 0; j < at.tk; ++j) {
          if (!at.Allowed(b, i, j)) continue;
          const size_t key = at.Key(b, j, h);
          const Real s = round(scale * Dot(q, query, k, key, at.d));
          const Real p = round(std::exp(s - lse[statistic]));
          const Real ds = round(p * (round(Dot(d_o, query, v, key, at.d)) - delta));
          for (size_t c = 0; c < static_cast<size_t>(at.d); ++c) {
            out.dv[key + c] += p * d_o[query + c];
            out.dq[query + c] += scale * ds * k[key + c];
            out.dk[key + c] += scale * ds * q[query + c];
          }
        }
      }
    }
  }
  for (auto* x : {&out.dq, &out.dk, &out.dv}) {
    for (Real& value : *x) value = round(value);
  }
  return out;
}

}  // namespace tl::reference
