// SPDX-License-Identifier: Apache-2.0
#include "infer/ode_samplers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "infer/runge_kutta.h"
#include "infer/sample_batch.h"
#include "infer/sampling_path.h"

namespace tl {
namespace {

// Karras et al.'s noises; an interpolant's are even in its time, in which its paths are
// straightest.
Spacing OdeSpacing(const Process& process, const SamplerOptions& options) {
  if (options.spacing != Spacing::kOwn) return options.spacing;
  return process.kind().interpolant ? Spacing::kTime : Spacing::kKarras;
}

// Raises the noise at a point by the churn; returns where the samples are then.
PathPoint Churn(const SamplerOptions& options, const SamplingPath& path, const PathPoint& from,
                SampleBatch* batch) {
  const double noise = from.at.noise();
  const double most = M_SQRT2 - 1.0;
  const double rise = std::min(options.churn / static_cast<double>(options.steps), most);
  if (rise == 0.0 || noise < options.churn_min || noise > options.churn_max) return from;
  const PathPoint raised = path.AtNoise(noise * (1.0 + rise));
  const double added = noise * std::sqrt(rise * (2.0 + rise));
  batch->Take({.x = raised.at.alpha / from.at.alpha,
               .noise = raised.at.alpha * added * options.churn_noise});
  return raised;
}

enum class OdeOrder : uint8_t { kEuler, kHeun };

// Algorithm 2 of Karras et al. 2022, on their path by noise or the process's own by t.
absl::StatusOr<std::vector<double>> SampleSteps(const SamplingProblem& problem,
                                                const SamplerOptions& options, OdeOrder order) {
  const Spacing spacing = OdeSpacing(problem.process, options);
  const SamplingPath path(problem.process,
                          spacing == Spacing::kTime ? PathVariable::kOwn : PathVariable::kHat,
                          spacing, options.rho, options.steps);
  SampleBatch batch(problem);
  batch.Start(path.points().front().at.sigma);
  std::vector<double> slope(batch.x.size()), ahead(batch.x.size());
  for (size_t i = 0; i < path.points().size(); ++i) {
    const PathPoint from = Churn(options, path, path.points()[i], &batch);
    TL_RETURN_IF_ERROR(batch.Estimate(batch.x, from.at));
    // Down to no noise there is no other slope to take the mean with, and Euler's step is D.
    if (i + 1 == path.points().size()) break;
    const PathPoint& to = path.points()[i + 1];
    const double dt = to.t - from.t;
    const AffineStep first = FlowSlope(from.at);
    if (order == OdeOrder::kEuler) {
      batch.Take({.x = 1.0 + dt * first.x, .clean = dt * first.clean});
      continue;
    }
    for (size_t j = 0; j < slope.size(); ++j) {
      slope[j] = first.x * batch.x[j] + first.clean * batch.clean[j];
      ahead[j] = batch.x[j] + dt * slope[j];
    }
    TL_RETURN_IF_ERROR(batch.Estimate(ahead, to.at));
    const AffineStep second = FlowSlope(to.at);
    for (size_t j = 0; j < slope.size(); ++j) {
      slope[j] += second.x * ahead[j] + second.clean * batch.clean[j];
      batch.x[j] += 0.5 * dt * slope[j];
    }
  }
  return std::move(batch.clean);
}

}  // namespace

absl::StatusOr<std::vector<double>> SampleEuler(const SamplingProblem& problem,
                                                const SamplerOptions& options) {
  return SampleSteps(problem, options, OdeOrder::kEuler);
}

absl::StatusOr<std::vector<double>> SampleHeun(const SamplingProblem& problem,
                                               const SamplerOptions& options) {
  return SampleSteps(problem, options, OdeOrder::kHeun);
}

absl::StatusOr<std::vector<double>> SampleDpm(const SamplingProblem& problem,
                                              const SamplerOptions& options) {
  const SamplingPath path(problem.process, PathVariable::kHat, OdeSpacing(problem.process, options),
                          options.rho, options.steps);
  SampleBatch batch(problem);
  batch.Start(path.points().front().at.sigma);
  std::vector<double> before(batch.x.size());  // the estimate of the step before
  double last_width = 0.0;                     // of that step, in -ln noise
  for (size_t i = 0; i < path.points().size(); ++i) {
    const double noise = path.points()[i].at.sigma;
    TL_RETURN_IF_ERROR(batch.Estimate(batch.x, path.points()[i].at));
    if (i + 1 == path.points().size()) break;
    const double next = path.points()[i + 1].at.sigma, width = std::log(noise / next);
    const double slope = i == 0 ? 0.0 : 0.5 * width / last_width;
    for (size_t j = 0; j < batch.x.size(); ++j) {
      const double estimate = batch.clean[j] + slope * (batch.clean[j] - before[j]);
      batch.x[j] = next / noise * batch.x[j] - std::expm1(-width) * estimate;
    }
    before = batch.clean;
    last_width = width;
  }
  return std::move(batch.clean);
}

absl::StatusOr<std::vector<double>> SampleRk45(const SamplingProblem& problem,
                                               const SamplerOptions& options) {
  const Process& process = problem.process;
  const TimeRange& range = process.times();
  const double end = std::max(range.sample, range.low);
  SampleBatch batch(problem);
  batch.Start(process.At(range.high).sigma);
  std::vector<Marginal> at(static_cast<size_t>(batch.rows()));
  const RowSlopes slopes = [&](absl::Span<const double> t, absl::Span<const double> x,
                               absl::Span<double> out) -> absl::Status {
    for (size_t r = 0; r < at.size(); ++r) at[r] = process.At(t[r]);
    TL_RETURN_IF_ERROR(batch.Estimate(x, at));
    const auto width = static_cast<size_t>(batch.width());
    for (size_t r = 0; r < at.size(); ++r) {
      const AffineStep slope = FlowSlope(at[r]);
      for (size_t i = r * width; i < (r + 1) * width; ++i)
        out[i] = slope.x * x[i] + slope.clean * batch.clean[i];
    }
    return absl::OkStatus();
  };
  std::vector<double> x = batch.x;
  TL_RETURN_IF_ERROR(IntegrateRows({.from = range.high,
                                    .to = end,
                                    .rows = batch.rows(),
                                    .samples = problem.samples,
                                    .tolerance = options.tolerance},
                                   slopes, &x)
                         .status());
  TL_RETURN_IF_ERROR(batch.Estimate(x, process.At(end)));
  return std::move(batch.clean);
}

}  // namespace tl
