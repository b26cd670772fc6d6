// SPDX-License-Identifier: Apache-2.0
// Mixtures of round Gaussians with noise on them, of which everything that a network is to learn is
// known: ln p, the denoiser E[x_0 | x], its Jacobian's products, and samples.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/normals.h"

namespace tl::reference {

struct Component {
  double weight;
  std::vector<double> mean;
  double sd;
};

// One point with its noise.
struct AtPoint {
  double log_density = 0.0;      // of the data plus noise
  std::vector<double> share;     // of the components, given the point
  std::vector<double> clean_of;  // [components][width]: E[x_0 | x], given the component
  std::vector<double> score_of;  // [components][width]: d ln p / dx of the component alone
  double noise = -1.0;           // that of
  std::vector<double> scale;     // the components' ln (weight / (2 pi variance)^(width / 2))
};

class Mixture {
 public:
  explicit Mixture(std::vector<Component> components) : components_(std::move(components)) {}
  static Mixture Gaussian(std::vector<double> mean, double sd) {
    return Mixture({{.weight = 1.0, .mean = std::move(mean), .sd = sd}});
  }
  // `count` Gaussians of equal weight on the unit circle.
  static Mixture Ring(int count, double sd) {
    std::vector<Component> components;
    for (int k = 0; k < count; ++k) {
      const double angle = 2.0 * M_PI * k / count;
      components.push_back(
          {.weight = 1.0 / count, .mean = {std::cos(angle), std::sin(angle)}, .sd = sd});
    }
    return Mixture(std::move(components));
  }

  const std::vector<Component>& components() const { return components_; }
  size_t width() const { return components_[0].mean.size(); }

  void At(absl::Span<const double> x, double noise, AtPoint* at) const {
    const size_t d = x.size();
    at->share.resize(components_.size());
    at->clean_of.resize(components_.size() * d);
    at->score_of.resize(components_.size() * d);
    if (at->noise != noise) {
      at->noise = noise;
      at->scale.clear();
      for (const Component& c : components_) {
        at->scale.push_back(std::log(c.weight) - 0.5 * static_cast<double>(d) *
                                                     std::log(2.0 * M_PI * Variance(c, noise)));
      }
    }
    double most = -INFINITY, total = 0.0;
    for (size_t k = 0; k < components_.size(); ++k) {
      const Component& c = components_[k];
      const double rate = 1.0 / Variance(c, noise), keeps = c.sd * c.sd * rate;
      double square = 0.0;
      for (size_t i = 0; i < d; ++i) {
        const double from = x[i] - c.mean[i];
        square += from * from;
        at->clean_of[k * d + i] = c.mean[i] + keeps * from;
        at->score_of[k * d + i] = -rate * from;
      }
      at->share[k] = at->scale[k] - 0.5 * square * rate;
      most = std::max(most, at->share[k]);
    }
    for (double& share : at->share)
      total += share = share - most < -50.0 ? 0.0 : std::exp(share - most);
    for (double& share : at->share) share /= total;
    at->log_density = most + std::log(total);
  }

  double LogDensity(absl::Span<const double> x, double noise) const {
    AtPoint at;
    At(x, noise, &at);
    return at.log_density;
  }

  // E[x_0 | x].
  void Clean(const AtPoint& at, absl::Span<double> clean) const {
    for (size_t i = 0; i < clean.size(); ++i) {
      clean[i] = 0.0;
      for (size_t k = 0; k < components_.size(); ++k)
        clean[i] += at.share[k] * at.clean_of[k * clean.size() + i];
    }
  }

  // Sets out to (dD/dx)^T v: D = sum_k r_k D_k with dD_k/dx = c_k and
  // dr_k/dx = r_k (s_k - sum_j r_j s_j), s the scores.
  void Product(const AtPoint& at, absl::Span<const double> v, absl::Span<double> out) const {
    const size_t d = v.size();
    std::vector<double> score(d);
    for (size_t k = 0; k < components_.size(); ++k)
      for (size_t i = 0; i < d; ++i) score[i] += at.share[k] * at.score_of[k * d + i];
    std::fill(out.begin(), out.end(), 0.0);
    for (size_t k = 0; k < components_.size(); ++k) {
      const Component& c = components_[k];
      double along = 0.0;
      for (size_t i = 0; i < d; ++i) along += at.clean_of[k * d + i] * v[i];
      for (size_t i = 0; i < d; ++i) {
        out[i] += at.share[k] * (c.sd * c.sd / Variance(c, at.noise) * v[i] +
                                 (at.score_of[k * d + i] - score[i]) * along);
      }
    }
  }

  // The sample of this number.
  std::vector<double> Sample(uint64_t seed, int64_t number) const {
    const auto line = static_cast<uint64_t>(number);
    std::vector<double> z(1 + width());
    FillNormals(StreamKey("mixture", seed), line, 0, absl::MakeSpan(z));
    double left = 0.5 * std::erfc(-z[0] * M_SQRT1_2);
    size_t k = 0;
    while (k + 1 < components_.size() && left >= components_[k].weight)
      left -= components_[k++].weight;
    std::vector<double> x(width());
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = components_[k].mean[i] + components_[k].sd * z[1 + i];
    return x;
  }

  // A tl::Denoiser.
  auto Denoiser() const {
    return [this](absl::Span<const double> x_hat, absl::Span<const double> noise,
                  absl::Span<double> clean) {
      AtPoint at;
      for (size_t r = 0; r < noise.size(); ++r) {
        At(x_hat.subspan(r * width(), width()), noise[r], &at);
        Clean(at, clean.subspan(r * width(), width()));
      }
      return absl::OkStatus();
    };
  }

  // A tl::DenoiserProduct.
  auto DenoiserProduct() const {
    return [this](absl::Span<const double> x_hat, absl::Span<const double> noise,
                  absl::Span<const double> probe, absl::Span<double> clean,
                  absl::Span<double> product) {
      AtPoint at;
      for (size_t r = 0; r < noise.size(); ++r) {
        const size_t d = width();
        At(x_hat.subspan(r * d, d), noise[r], &at);
        Clean(at, clean.subspan(r * d, d));
        Product(at, probe.subspan(r * d, d), product.subspan(r * d, d));
      }
      return absl::OkStatus();
    };
  }

 private:
  static double Variance(const Component& c, double noise) { return c.sd * c.sd + noise * noise; }

  std::vector<Component> components_;
};

}  // namespace tl::reference
