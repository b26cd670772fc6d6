// SPDX-License-Identifier: Apache-2.0
#include "infer/samplers.h"

#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/normals.h"
#include "base/status.h"
#include "infer/ode_samplers.h"
#include "infer/sde_samplers.h"

namespace tl {
namespace {

int64_t OnePass(const SamplerOptions& o) { return o.steps; }
int64_t TwoPasses(const SamplerOptions& o) { return 2 * o.steps - 1; }

absl::Status CheckOption(const char* name, double value, bool good, const char* expected) {
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " = ", value, ": expected ", expected));
}

}  // namespace

const char* Name(Spacing spacing) {
  switch (spacing) {
    case Spacing::kOwn:
      return "own";
    case Spacing::kKarras:
      return "karras";
    case Spacing::kTime:
      return "time";
  }
  return "?";
}

NoiseAt SamplingNoise(uint64_t seed) {
  return [key = StreamKey("sampling", seed)](int64_t sample, int64_t draw, absl::Span<double> z) {
    // A stream for each sample, a line for each draw.
    FillNormals(StreamKey("sample", key ^ static_cast<uint64_t>(sample)),
                static_cast<uint64_t>(draw), 0, z);
  };
}

Denoiser Guided(Denoiser conditional, Denoiser unconditional, double scale) {
  if (scale == 1.0) return conditional;
  return [conditional = std::move(conditional), unconditional = std::move(unconditional), scale,
          other = std::vector<double>()](absl::Span<const double> x_hat,
                                         absl::Span<const double> noise,
                                         absl::Span<double> clean) mutable -> absl::Status {
    other.resize(clean.size());
    TL_RETURN_IF_ERROR(conditional(x_hat, noise, clean));
    TL_RETURN_IF_ERROR(unconditional(x_hat, noise, absl::MakeSpan(other)));
    for (size_t i = 0; i < clean.size(); ++i) clean[i] = other[i] + scale * (clean[i] - other[i]);
    return absl::OkStatus();
  };
}

absl::Span<const SamplerKind> SamplerKinds() {
  static constexpr SamplerKind kKinds[] = {
      {.name = "heun", .steps = 18, .evaluations = TwoPasses, .run = SampleHeun},
      {.name = "euler", .steps = 36, .evaluations = OnePass, .run = SampleEuler},
      {.name = "dpm++", .steps = 18, .evaluations = OnePass, .run = SampleDpm},
      {.name = "euler-maruyama", .steps = 250, .evaluations = OnePass, .run = SampleEulerMaruyama},
      {.name = "reverse-diffusion",
       .steps = 1000,
       .evaluations = OnePass,
       .run = SampleReverseDiffusion},
      {.name = "ancestral", .steps = 250, .evaluations = OnePass, .run = SampleAncestral},
      {.name = "predictor-corrector",
       .steps = 500,
       .evaluations = TwoPasses,
       .run = SamplePredictorCorrector},
      {.name = "rk45",
       .steps = 1,
       .evaluations = [](const SamplerOptions&) { return int64_t{0}; },
       .run = SampleRk45},
      {.name = "langevin",
       .steps = 232,
       .evaluations = [](const SamplerOptions& o) { return o.steps * o.langevin_repeats + 1; },
       .run = SampleLangevin},
  };
  return kKinds;
}

const SamplerKind* FindSamplerKind(const std::string& name) {
  for (const SamplerKind& kind : SamplerKinds())
    if (name == kind.name) return &kind;
  return nullptr;
}

absl::StatusOr<SamplerOptions> ResolveSampling(const SamplerKind& kind, SamplerOptions options) {
  if (options.steps == 0) options.steps = kind.steps;
  const bool ladder = kind.run == SampleLangevin;
  TL_RETURN_IF_ERROR(CheckOption("steps", static_cast<double>(options.steps),
                                 options.steps >= (ladder ? 2 : 1),
                                 ladder ? "at least 2 levels" : "at least 1"));
  TL_RETURN_IF_ERROR(CheckOption("rho", options.rho, options.rho > 0.0, "above 0"));
  TL_RETURN_IF_ERROR(CheckOption("churn", options.churn, options.churn >= 0.0, "at least 0"));
  TL_RETURN_IF_ERROR(CheckOption("noise", options.noise, options.noise >= 0.0, "at least 0"));
  TL_RETURN_IF_ERROR(
      CheckOption("data_spread", options.data_spread, options.data_spread >= 0.0, "at least 0"));
  TL_RETURN_IF_ERROR(CheckOption("snr", options.snr, options.snr >= 0.0, "at least 0"));
  TL_RETURN_IF_ERROR(CheckOption("tolerance", options.tolerance,
                                 options.tolerance > 0.0 && options.tolerance < 1.0, "0 < x < 1"));
  TL_RETURN_IF_ERROR(CheckOption("langevin_step", options.langevin_step,
                                 options.langevin_step > 0.0 && options.langevin_step < 2.0,
                                 "0 < x < 2, beyond which it diverges"));
  TL_RETURN_IF_ERROR(CheckOption("langevin_repeats", static_cast<double>(options.langevin_repeats),
                                 options.langevin_repeats >= 1, "at least 1"));
  return options;
}

absl::StatusOr<std::vector<double>> DrawSamples(const SamplerKind& kind,
                                                const SamplingProblem& problem,
                                                const SamplerOptions& options) {
  TL_ASSIGN_OR_RETURN(const SamplerOptions resolved, ResolveSampling(kind, options));
  return kind.run(problem, resolved);
}

}  // namespace tl
