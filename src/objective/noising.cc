// SPDX-License-Identifier: Apache-2.0
#include "objective/noising.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/normals.h"
#include "base/philox.h"
#include "objective/variational_bound.h"

namespace tl {
namespace {

constexpr int kQuarters = 4;

}  // namespace

Noising::Streams Noising::MakeStreams(const char* use, uint64_t seed) {
  const std::string name = std::string("noising.") + use;
  return {.point = StreamKey(name + ".time", seed),
          .noise = StreamKey(name + ".noise", seed),
          .decoder = StreamKey(name + ".decoder", seed),
          .label = StreamKey(name + ".label", seed)};
}

Noising::Noising(const NoisingOptions& options)
    : options_(options),
      streams_({MakeStreams("training", options.seed), MakeStreams("evaluation", 0),
                MakeStreams("bound", 0)}) {}

int Noising::Quarter(double noise) const {
  const double low = std::log(process().noise_min()), high = std::log(process().noise_max());
  const double part = (std::log(noise) - low) / (high - low);
  return std::clamp(static_cast<int>(std::floor(part * kQuarters)), 0, kQuarters - 1);
}

void Noising::Apply(BatchUse use, HostBatch* batch) const {
  const Process& process = options_.process;
  const Streams& streams = streams_[static_cast<size_t>(use)];
  const bool bound = use == BatchUse::kBound;
  const auto count = static_cast<size_t>(batch->count);
  const size_t d = batch->values.size() / count;
  TL_CHECK_EQ(d * count, batch->values.size());
  batch->noisy.assign(batch->values.size(), 0.0f);
  batch->target.assign(batch->values.size(), 0.0f);
  batch->features.assign(count * kFeatures, 0.0f);
  batch->weight.assign(count, 0.0f);
  batch->range.assign(count, -1);
  batch->constant.assign(count, 0.0);
  std::vector<double> clean(d), z(d);
  for (size_t b = 0; b < count; ++b) {
    int32_t& label = batch->labels[b];
    const int64_t k = batch->samples[b];
    if (k < 0) {
      label = static_cast<int32_t>(options_.classes);
      continue;
    }
    const auto line = static_cast<uint64_t>(k);
    const double noise = TrainingNoise(process, bound ? TrainingTimes::kLikelihood : options_.times,
                                       KroneckerPoint(streams.point, k));
    const Coefficients c = CoefficientsAt(process, options_.prediction, noise);
    const float* x = batch->values.data() + b * d;
    clean.assign(x, x + d);
    FillNormals(streams.noise, line, 0, absl::MakeSpan(z));
    for (size_t i = 0; i < d; ++i) {
      const double x_hat = clean[i] + noise * z[i];
      batch->noisy[b * d + i] = static_cast<float>(c.in * x_hat);
      batch->target[b * d + i] = static_cast<float>(TargetOf(c, x_hat, clean[i]));
    }
    LevelFeatures(c.level, absl::MakeSpan(batch->features).subspan(b * kFeatures, kFeatures));
    batch->range[b] = Quarter(noise);
    // Even in ln σ̂, the mean square of F makes a likelihood by this weight alone.
    const bool likelihood = options_.times == TrainingTimes::kLikelihood;
    batch->weight[b] = likelihood ? static_cast<float>(LikelihoodWeight(c, noise)) : 1.0f;
    const bool hidden = use == BatchUse::kTraining &&
                        UniformFromWord(Philox(streams.label, line, 0).w[0]) < options_.label_drop;
    if (label < 0 || hidden) label = static_cast<int32_t>(options_.classes);
    if (!bound) continue;
    const double low = process.noise_min(), high = process.noise_max();
    batch->weight[b] = static_cast<float>(c.out * c.out * DiffusionWeight(low, high, noise));
    FillNormals(streams.decoder, line, 0, absl::MakeSpan(z));
    for (size_t i = 0; i < d; ++i) z[i] = clean[i] + low * z[i];
    batch->constant[b] = PriorNats(clean, high) + (batch->bytes ? DiscreteDecoderNats(clean, z, low)
                                                                : DecoderNats(clean, z, low));
  }
}

}  // namespace tl
