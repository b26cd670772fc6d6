// SPDX-License-Identifier: Apache-2.0
#include "infer/sample_batch.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"

namespace tl {
namespace {

// Numbers worth more than one thread.
constexpr int64_t kManyNumbers = 1 << 14;

}  // namespace

SampleBatch::SampleBatch(const SamplingProblem& problem)
    : x(problem.samples.size() * static_cast<size_t>(problem.width)),
      clean(x.size()),
      z(x.size()),
      problem_(problem),
      x_hat_(x.size()),
      noise_(problem.samples.size()) {}

absl::Span<double> SampleBatch::row(std::vector<double>& of, int64_t r) const {
  return absl::MakeSpan(of).subspan(static_cast<size_t>(r * width()), static_cast<size_t>(width()));
}

absl::Span<const double> SampleBatch::row(const std::vector<double>& of, int64_t r) const {
  return absl::MakeConstSpan(of).subspan(static_cast<size_t>(r * width()),
                                         static_cast<size_t>(width()));
}

void SampleBatch::Draw() {
  const int64_t draw = draws_++;
#pragma omp parallel for schedule(static) if (rows() * width() >= kManyNumbers)
  for (int64_t r = 0; r < rows(); ++r)
    problem_.noise(problem_.samples[static_cast<size_t>(r)], draw, row(z, r));
}

void SampleBatch::Start(double sigma) {
  Draw();
  for (size_t i = 0; i < x.size(); ++i) x[i] = sigma * z[i];
}

absl::Status SampleBatch::Estimate(absl::Span<const double> of, const Marginal& at) {
  return Estimate(of, std::vector<Marginal>(static_cast<size_t>(rows()), at));
}

absl::Status SampleBatch::Estimate(absl::Span<const double> of, absl::Span<const Marginal> at) {
  TL_CHECK(of.size() == x.size() && at.size() == noise_.size());
  const auto size = static_cast<size_t>(width());
  for (size_t r = 0; r < at.size(); ++r) {
    noise_[r] = at[r].noise();
    for (size_t i = r * size; i < (r + 1) * size; ++i) x_hat_[i] = of[i] / at[r].alpha;
  }
  TL_RETURN_IF_ERROR(problem_.denoiser(x_hat_, noise_, absl::MakeSpan(clean)));
  for (size_t i = 0; i < clean.size(); ++i) {
    if (std::isfinite(clean[i])) continue;
    return absl::InternalError(absl::StrCat("sample ", problem_.samples[i / size],
                                            ": the network's estimate at noise ", noise_[i / size],
                                            " is ", clean[i]));
  }
  return absl::OkStatus();
}

void SampleBatch::Take(const AffineStep& step) {
  if (step.noise != 0.0) Draw();
  const auto size = static_cast<int64_t>(x.size());
#pragma omp parallel for schedule(static) if (size >= kManyNumbers)
  for (int64_t i = 0; i < size; ++i) {
    const auto at = static_cast<size_t>(i);
    double next = step.x * x[at] + step.clean * clean[at];
    if (step.noise != 0.0) next += step.noise * z[at];
    x[at] = next;
  }
}

}  // namespace tl
