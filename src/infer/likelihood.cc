// SPDX-License-Identifier: Apache-2.0
#include "infer/likelihood.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/normals.h"
#include "base/status.h"
#include "infer/runge_kutta.h"

namespace tl {
namespace {

// The right-hand side over rows of x_hat and, last, ln p per dimension.
class DensityFlow {
 public:
  DensityFlow(const DenoiserProduct& denoiser, absl::Span<const int64_t> samples, int64_t width,
              const LikelihoodOptions& options)
      : denoiser_(denoiser),
        samples_(samples),
        width_(static_cast<size_t>(width)),
        exact_(options.probes == 0),
        x_hat_(samples.size() * width_),
        clean_(x_hat_.size()),
        product_(x_hat_.size()),
        noise_(samples.size()),
        probes_(static_cast<size_t>(exact_ ? width : options.probes),
                std::vector<double>(x_hat_.size())) {
    const uint64_t key = StreamKey("probe", options.seed);
    for (size_t p = 0; p < probes_.size(); ++p) {
      for (size_t r = 0; r < samples.size(); ++r) {
        const auto row = absl::MakeSpan(probes_[p]).subspan(r * width_, width_);
        if (exact_) {
          row[p] = 1.0;
        } else {
          FillSigns(StreamKey("sample", key ^ static_cast<uint64_t>(samples[r])), p, row);
        }
      }
    }
  }

  absl::Status Slopes(absl::Span<const double> u, absl::Span<const double> y,
                      absl::Span<double> slopes) {
    const size_t stride = width_ + 1;
    for (size_t r = 0; r < noise_.size(); ++r) {
      noise_[r] = std::exp(u[r]);
      std::copy_n(y.begin() + r * stride, width_, x_hat_.begin() + r * width_);
      slopes[r * stride + width_] = 1.0;
    }
    // Of unit vectors the trace is the sum, of signs the mean.
    const double share = 1.0 / static_cast<double>(width_ * (exact_ ? size_t{1} : probes_.size()));
    for (const std::vector<double>& probe : probes_) {
      TL_RETURN_IF_ERROR(
          denoiser_(x_hat_, noise_, probe, absl::MakeSpan(clean_), absl::MakeSpan(product_)));
      for (size_t r = 0; r < noise_.size(); ++r) {
        double trace = 0.0;
        for (size_t i = r * width_; i < (r + 1) * width_; ++i) trace += probe[i] * product_[i];
        if (!std::isfinite(trace)) return NotFinite(r, trace);
        slopes[r * stride + width_] -= share * trace;
      }
    }
    for (size_t r = 0; r < noise_.size(); ++r) {
      for (size_t i = 0; i < width_; ++i) {
        const double clean = clean_[r * width_ + i];
        if (!std::isfinite(clean)) return NotFinite(r, clean);
        slopes[r * stride + i] = x_hat_[r * width_ + i] - clean;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status NotFinite(size_t r, double found) const {
    return absl::InternalError(absl::StrCat("sample ", samples_[r],
                                            ": the network's estimate at noise ", noise_[r],
                                            ", or its derivative, is ", found));
  }

  const DenoiserProduct& denoiser_;
  const absl::Span<const int64_t> samples_;
  const size_t width_;
  const bool exact_;
  std::vector<double> x_hat_, clean_, product_, noise_;
  std::vector<std::vector<double>> probes_;
};

}  // namespace

absl::StatusOr<std::vector<Likelihood>> LogDensities(const Process& process,
                                                     const DenoiserProduct& denoiser,
                                                     absl::Span<const int64_t> samples,
                                                     absl::Span<const double> x, int64_t width,
                                                     const LikelihoodOptions& options) {
  TL_CHECK(x.size() == samples.size() * static_cast<size_t>(width));
  if (options.probes < 0 || (options.probes == 0 && width > kMostExactProbes)) {
    return absl::InvalidArgumentError(
        options.probes < 0 ? absl::StrCat("probes = ", options.probes, ": expected at least 0")
                           : absl::StrCat("exact probes for samples of ", width,
                                          " numbers: expected at most ", kMostExactProbes));
  }
  const auto stride = static_cast<size_t>(width) + 1;
  std::vector<double> y(samples.size() * stride);
  for (size_t r = 0; r < samples.size(); ++r)
    std::copy_n(x.begin() + r * (stride - 1), stride - 1,
                y.begin() + static_cast<std::ptrdiff_t>(r * stride));
  DensityFlow flow(denoiser, samples, width, options);
  TL_ASSIGN_OR_RETURN(const std::vector<int64_t> evaluations,
                      IntegrateRows(
                          {.from = std::log(process.noise_min()),
                           .to = std::log(process.noise_max()),
                           .rows = static_cast<int64_t>(samples.size()),
                           .samples = samples,
                           .tolerance = options.tolerance,
                           .judged_alone = 1},
                          [&](absl::Span<const double> u, absl::Span<const double> at,
                              absl::Span<double> slopes) { return flow.Slopes(u, at, slopes); },
                          &y));
  std::vector<Likelihood> results;
  const double d = static_cast<double>(width), variance = std::pow(process.noise_max(), 2);
  for (size_t r = 0; r < samples.size(); ++r) {
    double square = 0.0;
    for (size_t i = 0; i + 1 < stride; ++i) square += y[r * stride + i] * y[r * stride + i];
    const double prior = -0.5 * (square / variance + d * std::log(2.0 * M_PI * variance));
    results.push_back({.nats = prior + d * y[r * stride + stride - 1],
                       .prior = prior,
                       .evaluations = evaluations[r]});
  }
  return results;
}

double BitsPerDimension(double nats, int64_t width, int64_t values) {
  return -nats / (static_cast<double>(width) * M_LN2) +
         std::log2(static_cast<double>(values) / 2.0);
}

}  // namespace tl
