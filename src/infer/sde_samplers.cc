// SPDX-License-Identifier: Apache-2.0
#include "infer/sde_samplers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "infer/sample_batch.h"
#include "infer/sampling_path.h"
#include "objective/training_times.h"

namespace tl {
namespace {

SamplingPath SdePath(const Process& process, const SamplerOptions& options) {
  Spacing spacing = options.spacing;
  if (spacing == Spacing::kOwn)
    spacing = process.kind().even_times ? Spacing::kTime : Spacing::kKarras;
  return {process, PathVariable::kOwn, spacing, options.rho, options.steps};
}

// Walks down the path; `step` makes the step between two points, after `before` was called at the
// first of them.
template <typename Before, typename Step>
absl::StatusOr<std::vector<double>> WalkDown(const SamplingProblem& problem,
                                             const SamplerOptions& options, const Before& before,
                                             const Step& step) {
  const SamplingPath path = SdePath(problem.process, options);
  SampleBatch batch(problem);
  batch.Start(path.points().front().at.sigma);
  for (size_t i = 0; i + 1 < path.points().size(); ++i) {
    const PathPoint &from = path.points()[i], &to = path.points()[i + 1];
    TL_RETURN_IF_ERROR(before(&batch, from, to));
    TL_RETURN_IF_ERROR(batch.Estimate(batch.x, from.at));
    batch.Take(step(from, to));
  }
  TL_RETURN_IF_ERROR(batch.Estimate(batch.x, path.points().back().at));
  return std::move(batch.clean);
}

absl::Status Nothing(SampleBatch*, const PathPoint&, const PathPoint&) { return absl::OkStatus(); }

// A step of Langevin's at a point, of size 2 (scale snr)^2 d / |s|^2 in every sample. d stands for
// |z|^2, whose mean it is: a step that is longer where its own noise is, is biased where d is small.
// So is one that is long where the score happens to be next to nothing, as at a mode; noise alone
// has |s|^2 = d / sigma^2, and a quarter of that is the least that is believed.
absl::Status Correct(SampleBatch* batch, const Marginal& at, double scale, double snr) {
  TL_RETURN_IF_ERROR(batch->Estimate(batch->x, at));
  batch->Draw();
  const double variance = at.sigma * at.sigma;
  for (int64_t r = 0; r < batch->rows(); ++r) {
    const absl::Span<double> x = batch->row(batch->x, r);
    const absl::Span<const double> clean = batch->row(std::as_const(batch->clean), r);
    const absl::Span<const double> z = batch->row(std::as_const(batch->z), r);
    const auto score = [&](size_t i) { return (at.alpha * clean[i] - x[i]) / variance; };
    double square = 0.0;
    for (size_t i = 0; i < x.size(); ++i) square += score(i) * score(i);
    const auto d = static_cast<double>(x.size());
    const double size = 2.0 * scale * scale * snr * snr * d / std::max(square, 0.25 * d / variance);
    for (size_t i = 0; i < x.size(); ++i) x[i] += size * score(i) + std::sqrt(2.0 * size) * z[i];
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<double>> SampleEulerMaruyama(const SamplingProblem& problem,
                                                        const SamplerOptions& options) {
  return WalkDown(problem, options, Nothing, [&](const PathPoint& from, const PathPoint& to) {
    return EulerMaruyamaStep(from.at, from.t - to.t, SamplingDiffusion(problem.process, from.at),
                             options.noise);
  });
}

absl::StatusOr<std::vector<double>> SampleReverseDiffusion(const SamplingProblem& problem,
                                                           const SamplerOptions& options) {
  return WalkDown(problem, options, Nothing, [](const PathPoint& from, const PathPoint& to) {
    return ReverseDiffusionStep(from.at, to.at);
  });
}

absl::StatusOr<std::vector<double>> SampleAncestral(const SamplingProblem& problem,
                                                    const SamplerOptions& options) {
  return WalkDown(problem, options, Nothing, [&](const PathPoint& from, const PathPoint& to) {
    return AncestralStep(from.at, to.at, options.data_spread);
  });
}

absl::StatusOr<std::vector<double>> SamplePredictorCorrector(const SamplingProblem& problem,
                                                             const SamplerOptions& options) {
  return WalkDown(
      problem, options,
      [&](SampleBatch* batch, const PathPoint& from, const PathPoint& to) {
        return Correct(batch, from.at, from.at.alpha / to.at.alpha, options.snr);
      },
      [](const PathPoint& from, const PathPoint& to) {
        return ReverseDiffusionStep(from.at, to.at);
      });
}

absl::StatusOr<std::vector<double>> SampleLangevin(const SamplingProblem& problem,
                                                   const SamplerOptions& options) {
  SampleBatch batch(problem);
  batch.Start(problem.process.noise_max());
  double noise = 0.0;
  for (int64_t level = 0; level < options.steps; ++level) {
    noise = LadderNoise(problem.process, options.steps, level);
    // e s = langevin_step (D - x_hat).
    const double size = options.langevin_step;
    for (int64_t i = 0; i < options.langevin_repeats; ++i) {
      TL_RETURN_IF_ERROR(batch.Estimate(batch.x, Marginal{.alpha = 1.0, .sigma = noise}));
      batch.Take({.x = 1.0 - size, .clean = size, .noise = noise * std::sqrt(2.0 * size)});
    }
  }
  TL_RETURN_IF_ERROR(batch.Estimate(batch.x, Marginal{.alpha = 1.0, .sigma = noise}));
  return std::move(batch.clean);
}

}  // namespace tl
