// SPDX-License-Identifier: Apache-2.0
#include "infer/reverse_steps.h"

#include <algorithm>
#include <cmath>

namespace tl {
namespace {

// The variance that the process adds between two times, and what it scales by.
struct ForwardStep {
  double scale, variance;
};
ForwardStep Forward(const Marginal& to, const Marginal& from) {
  const double a = from.alpha / to.alpha;
  const double variance = (from.sigma - a * to.sigma) * (from.sigma + a * to.sigma);
  return {.scale = a, .variance = std::max(variance, 0.0)};
}

}  // namespace

AffineStep FlowSlope(const Marginal& m) {
  const double rate = m.d_sigma / m.sigma;
  return {.x = rate, .clean = m.d_alpha - rate * m.alpha};
}

double SamplingDiffusion(const Process& process, const Marginal& m) {
  return process.kind().interpolant ? 2.0 * m.sigma * m.d_sigma : DiffusionSquared(m);
}

AffineStep EulerMaruyamaStep(const Marginal& from, double dt, double w, double level) {
  const AffineStep slope = FlowSlope(from);
  const double score = 0.5 * level * level * w * dt / (from.sigma * from.sigma);
  return {.x = 1.0 - dt * slope.x - score,
          .clean = -dt * slope.clean + score * from.alpha,
          .noise = level * std::sqrt(w * dt)};
}

AffineStep ReverseDiffusionStep(const Marginal& from, const Marginal& to) {
  const ForwardStep step = Forward(to, from);
  const double score = step.variance / (from.sigma * from.sigma);
  return {.x = 2.0 - step.scale - score,
          .clean = score * from.alpha,
          .noise = std::sqrt(step.variance)};
}

AffineStep AncestralStep(const Marginal& from, const Marginal& to, double data_spread) {
  const ForwardStep step = Forward(to, from);
  const auto spread = [&](const Marginal& m) {
    return m.sigma * m.sigma + m.alpha * m.alpha * data_spread * data_spread;
  };
  const double variance = from.sigma * from.sigma;
  return {.x = step.scale * to.sigma * to.sigma / variance,
          .clean = to.alpha * step.variance / variance,
          .noise = std::sqrt(step.variance * spread(to) / spread(from))};
}

}  // namespace tl
