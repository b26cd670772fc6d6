// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/adamw.h in plain loops. S = double is the reference; S = float the naive one.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace tl::reference {

template <typename S>
struct AdamWState {
  std::vector<S> p, m, v;
};

template <typename S>
struct AdamWOptions {
  S lr, beta1, beta2, eps, weight_decay;
};

// One update by an unscaled gradient; step counts from 1.
template <typename S>
void AdamW(AdamWState<S>& s, const std::vector<S>& grad, const AdamWOptions<S>& o, int step) {
  const S correct1 = S(1) - std::pow(o.beta1, static_cast<S>(step));
  const S correct2 = S(1) - std::pow(o.beta2, static_cast<S>(step));
  for (size_t i = 0; i < grad.size(); ++i) {
    s.m[i] = o.beta1 * s.m[i] + (S(1) - o.beta1) * grad[i];
    s.v[i] = o.beta2 * s.v[i] + (S(1) - o.beta2) * grad[i] * grad[i];
    const S direction = (s.m[i] / correct1) / (std::sqrt(s.v[i] / correct2) + o.eps);
    s.p[i] -= o.lr * (direction + o.weight_decay * s.p[i]);
  }
}

// Moves the average of weights after an update; rate = 1 - decay.
template <typename S>
void Average(std::vector<S>& average, const std::vector<S>& p, S rate) {
  for (size_t i = 0; i < p.size(); ++i) average[i] = (S(1) - rate) * average[i] + rate * p[i];
}

}  // namespace tl::reference
