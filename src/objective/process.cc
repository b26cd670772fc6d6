// SPDX-License-Identifier: Apache-2.0
#include "objective/process.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace tl {
namespace {

// Interpolants are kept this far from pure noise, where alpha is 0, and from the data.
constexpr double kTimeMargin = 1e-5;

// Minus ln alpha of vp and subvp, and the time at which it has a value.
double VpDecay(const ProcessOptions& o, double t) {
  return 0.25 * (o.beta_max - o.beta_min) * t * t + 0.5 * o.beta_min * t;
}
double VpTime(const ProcessOptions& o, double decay) {
  const double rise = o.beta_max - o.beta_min;
  return 4.0 * decay / (o.beta_min + std::sqrt(o.beta_min * o.beta_min + 4.0 * rise * decay));
}
double VpBeta(const ProcessOptions& o, double t) {
  return o.beta_min + (o.beta_max - o.beta_min) * t;
}

Marginal VpAt(const ProcessOptions& o, double t) {
  const double decay = VpDecay(o, t), alpha = std::exp(-decay);
  const double sigma = std::sqrt(-std::expm1(-2.0 * decay)), d_decay = 0.5 * VpBeta(o, t);
  return {.alpha = alpha,
          .sigma = sigma,
          .d_alpha = -alpha * d_decay,
          .d_sigma = alpha * alpha * d_decay / sigma};
}
double VpTimeOf(const ProcessOptions& o, double noise) {
  return VpTime(o, 0.5 * std::log1p(noise * noise));
}

Marginal SubVpAt(const ProcessOptions& o, double t) {
  const double decay = VpDecay(o, t), alpha = std::exp(-decay), d_decay = 0.5 * VpBeta(o, t);
  return {.alpha = alpha,
          .sigma = -std::expm1(-2.0 * decay),
          .d_alpha = -alpha * d_decay,
          .d_sigma = 2.0 * alpha * alpha * d_decay};
}
// (1 - alpha^2) / alpha = 2 sinh(-ln alpha).
double SubVpTimeOf(const ProcessOptions& o, double noise) {
  return VpTime(o, std::asinh(0.5 * noise));
}

Marginal VeAt(const ProcessOptions& o, double t) {
  const double rate = std::log(o.sigma_max / o.sigma_min);
  const double sigma = o.sigma_min * std::exp(rate * t);
  return {.alpha = 1.0, .sigma = sigma, .d_alpha = 0.0, .d_sigma = rate * sigma};
}
double VeTimeOf(const ProcessOptions& o, double noise) {
  return std::log(noise / o.sigma_min) / std::log(o.sigma_max / o.sigma_min);
}

Marginal EdmAt(const ProcessOptions&, double t) {
  return {.alpha = 1.0, .sigma = t, .d_alpha = 0.0, .d_sigma = 1.0};
}
double EdmTimeOf(const ProcessOptions&, double noise) { return noise; }

Marginal FlowAt(const ProcessOptions&, double t) {
  return {.alpha = 1.0 - t, .sigma = t, .d_alpha = -1.0, .d_sigma = 1.0};
}
double FlowTimeOf(const ProcessOptions&, double noise) { return noise / (1.0 + noise); }

Marginal CosineAt(const ProcessOptions&, double t) {
  const double angle = 0.5 * M_PI * t, c = std::cos(angle), s = std::sin(angle);
  return {.alpha = c, .sigma = s, .d_alpha = -0.5 * M_PI * s, .d_sigma = 0.5 * M_PI * c};
}
double CosineTimeOf(const ProcessOptions&, double noise) { return 2.0 / M_PI * std::atan(noise); }

TimeRange VpRange(const ProcessOptions&) { return {.low = 1e-5, .sample = 1e-3, .high = 1.0}; }
TimeRange VeRange(const ProcessOptions&) { return {.low = 1e-5, .sample = 1e-5, .high = 1.0}; }
TimeRange EdmRange(const ProcessOptions& o) {
  return {.low = o.sigma_min, .sample = o.sigma_min, .high = o.sigma_max};
}
TimeRange InterpolantRange(const ProcessOptions&) {
  return {.low = kTimeMargin, .sample = 0.0, .high = 1.0 - kTimeMargin};
}

}  // namespace

double Drift(const Marginal& m) { return m.d_alpha / m.alpha; }

double DiffusionSquared(const Marginal& m) {
  return 2.0 * m.sigma * (m.d_sigma - Drift(m) * m.sigma);
}

const char* Name(Prediction prediction) {
  switch (prediction) {
    case Prediction::kNoise:
      return "noise";
    case Prediction::kEdm:
      return "edm";
    case Prediction::kVelocity:
      return "velocity";
  }
  return "?";
}

const char* Name(TrainingTimes times) {
  switch (times) {
    case TrainingTimes::kUniform:
      return "uniform";
    case TrainingTimes::kLognormal:
      return "lognormal";
    case TrainingTimes::kLikelihood:
      return "likelihood";
    case TrainingTimes::kLadder:
      return "ladder";
  }
  return "?";
}

absl::Span<const ProcessKind> ProcessKinds() {
  static const auto* const kinds = new std::vector<ProcessKind>{
      {.name = "vp",
       .at = VpAt,
       .time_of = VpTimeOf,
       .range = VpRange,
       .prediction = Prediction::kNoise,
       .times = TrainingTimes::kUniform,
       .keys = {"beta_min", "beta_max"}},
      {.name = "subvp",
       .at = SubVpAt,
       .time_of = SubVpTimeOf,
       .range = VpRange,
       .prediction = Prediction::kNoise,
       .times = TrainingTimes::kUniform,
       .keys = {"beta_min", "beta_max"}},
      {.name = "ve",
       .at = VeAt,
       .time_of = VeTimeOf,
       .range = VeRange,
       .prediction = Prediction::kNoise,
       .times = TrainingTimes::kUniform,
       .grows = true,
       .sigma_min = 0.01,
       .sigma_max = 50.0,
       .keys = {"sigma_min", "sigma_max"}},
      {.name = "edm",
       .at = EdmAt,
       .time_of = EdmTimeOf,
       .range = EdmRange,
       .prediction = Prediction::kEdm,
       .times = TrainingTimes::kLognormal,
       .grows = true,
       .even_times = false,
       .sigma_min = 0.002,
       .sigma_max = 80.0,
       .keys = {"sigma_min", "sigma_max"}},
      {.name = "flow",
       .at = FlowAt,
       .time_of = FlowTimeOf,
       .range = InterpolantRange,
       .prediction = Prediction::kVelocity,
       .times = TrainingTimes::kUniform,
       .interpolant = true},
      {.name = "cosine",
       .at = CosineAt,
       .time_of = CosineTimeOf,
       .range = InterpolantRange,
       .prediction = Prediction::kVelocity,
       .times = TrainingTimes::kUniform,
       .interpolant = true},
  };
  return *kinds;
}

const ProcessKind* FindProcessKind(const std::string& name) {
  for (const ProcessKind& kind : ProcessKinds())
    if (name == kind.name) return &kind;
  return nullptr;
}

Process::Process(const ProcessKind& kind, const ProcessOptions& options)
    : kind_(&kind), options_(options) {
  if (options_.sigma_min == 0.0) options_.sigma_min = kind.sigma_min;
  if (options_.sigma_max == 0.0) options_.sigma_max = kind.sigma_max;
  range_ = kind.range(options_);
  noise_min_ = At(range_.low).noise();
  noise_max_ = At(range_.high).noise();
  TL_CHECK(0.0 < noise_min_ && noise_min_ < noise_max_ && std::isfinite(noise_max_))
      << kind.name << ": noise from " << noise_min_ << " to " << noise_max_;
}

double Process::noise_sample() const {
  return std::max(noise_min_, At(std::max(range_.sample, range_.low)).noise());
}

double Process::Level(double noise) const {
  if (kind_->interpolant) return 1000.0 * TimeOf(noise);
  return 1000.0 * std::log(noise / noise_min_) / std::log(noise_max_ / noise_min_);
}

}  // namespace tl
