// SPDX-License-Identifier: Apache-2.0
// The samples that a sampler works on, side by side.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "infer/reverse_steps.h"
#include "infer/samplers.h"

namespace tl {

class SampleBatch {
 public:
  explicit SampleBatch(const SamplingProblem& problem);

  int64_t rows() const { return static_cast<int64_t>(problem_.samples.size()); }
  int64_t width() const { return problem_.width; }
  absl::Span<double> row(std::vector<double>& of, int64_t r) const;
  absl::Span<const double> row(const std::vector<double>& of, int64_t r) const;

  // Starts from the next draw times sigma.
  void Start(double sigma);
  // Sets clean to the denoiser's answer on `of`, which stands at this place of a process in every
  // row, or at one of its own.
  absl::Status Estimate(absl::Span<const double> of, const Marginal& at);
  absl::Status Estimate(absl::Span<const double> of, absl::Span<const Marginal> at);
  // x <- step.x x + step.clean clean + step.noise z, z the next draw where there is noise.
  void Take(const AffineStep& step);
  // Sets z to the next draw.
  void Draw();

  std::vector<double> x, clean, z;  // [rows][width]

 private:
  const SamplingProblem& problem_;
  int64_t draws_ = 0;
  std::vector<double> x_hat_, noise_;
};

}  // namespace tl
