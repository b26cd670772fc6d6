// SPDX-License-Identifier: Apache-2.0
#include "infer/exact_likelihood.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "engine/placement.h"
#include "infer/denoising_model.h"
#include "infer/sample_part.h"
#include "nn/patches.h"

namespace tl {
namespace {

absl::StatusOr<std::vector<Likelihood>> OfPart(const ExactLikelihoodOptions& options,
                                               const DataSource& data, const SamplePart& part,
                                               DenoisingModel& model, const Mesh& mesh,
                                               int64_t rows) {
  std::vector<Likelihood> likelihoods;
  HostBatch batch;
  ProgressBar bar("likelihood", part.count, ProgressUnit::kCount);
  for (int64_t first = 0; first < part.count; first += options.batch) {
    const int64_t count = std::min(options.batch, part.count - first);
    // A tensor group goes on together or not at all.
    TL_RETURN_IF_ERROR(AgreeOnStatus(mesh.group(Axis::kTensor).host(),
                                     data.FillBatch(part.first + first, count, rows, 0, &batch)));
    for (int32_t& label : batch.labels) {
      if (label < 0) label = static_cast<int32_t>(model.classes());
    }
    const std::vector<double> x(batch.values.begin(), batch.values.end());
    TL_ASSIGN_OR_RETURN(const std::vector<Likelihood> found,
                        LogDensities(
                            model.process(),
                            [&](absl::Span<const double> x_hat, absl::Span<const double> noise,
                                absl::Span<const double> probe, absl::Span<double> clean,
                                absl::Span<double> product) {
                              return model.EstimateWithProduct(batch.labels, x_hat, noise, probe,
                                                               clean, product);
                            },
                            batch.samples, x, model.width(), options.integral));
    likelihoods.insert(likelihoods.end(), found.begin(), found.end());
    bar.Add(count);
  }
  return likelihoods;
}

struct Mean {
  double value = 0.0, error = 0.0;  // its standard error, NaN of one number
};

Mean MeanOf(absl::Span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0.0, squares = 0.0;
  for (const double v : values) sum += v;
  for (const double v : values) squares += (v - sum / n) * (v - sum / n);
  return {sum / n, std::sqrt(squares / (n - 1.0) / n)};
}

}  // namespace

absl::Status ValidateExactLikelihood(const ExactLikelihoodOptions& options, const Config& config) {
  if (!config.model.of_values()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--likelihood: ", options.run_dir,
                     " is a model of text, whose eval_loss is its likelihood"));
  }
  if (!(options.integral.tolerance > 0.0 && options.integral.tolerance < 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tolerance ", options.integral.tolerance, ": expected 0 < x < 1"));
  }
  const int64_t width = GridOf(config.model).values();
  if (options.integral.probes == 0 && width > kMostExactProbes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--probes exact: samples have ", width, " numbers, expected at most ", kMostExactProbes));
  }
  return absl::OkStatus();
}

absl::Status PrintExactLikelihood(const ExactLikelihoodOptions& options, const Config& config,
                                  const DataSource& data, Communicator& world) {
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(config, world));
  TL_ASSIGN_OR_RETURN(const auto model,
                      DenoisingModel::Load(options.run_dir, config, options.batch, options.weights,
                                           DenoisingModel::Gives::kProducts, mesh));
  const int64_t rows = GridOf(config.model).rows();
  const int64_t count = std::min(options.count, data.SampleCount(rows));
  const SamplePart part = PartOf(count, mesh.data_size(), mesh.data_rank());
  const auto mine = OfPart(options, data, part, *model, mesh, rows);
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, mine.status()));
  const bool bytes = data.BytesPerToken() > 0;
  const int64_t width = model->width();
  // A sample's numbers are one rank's, and the others' are zeros: no sum rounds.
  std::vector<double> of_samples(static_cast<size_t>(count)), evaluations(of_samples.size());
  for (size_t i = 0; i < mine->size(); ++i) {
    const Likelihood& l = (*mine)[i];
    const size_t at = static_cast<size_t>(part.first) + i;
    of_samples[at] = bytes ? BitsPerDimension(l.nats, width) : -l.nats / static_cast<double>(width);
    evaluations[at] = static_cast<double>(l.evaluations);
  }
  Stream stream = Stream::Cpu();
  Communicator& group = mesh.group(Axis::kData).host();
  group.AllReduce(stream, Tensor::Of(of_samples.data(), {count}));
  group.AllReduce(stream, Tensor::Of(evaluations.data(), {count}));
  stream.Synchronize();
  if (world.rank() != 0) return absl::OkStatus();
  const Mean mean = MeanOf(of_samples);
  absl::PrintF("likelihood %.5f%s %s by the ODE over %d samples, %.1f evaluations each%s\n",
               mean.value, count > 1 ? absl::StrFormat(" +- %.5f", mean.error) : "",
               bytes ? "bits/dim" : "nats/dim", count, MeanOf(evaluations).value,
               model->weights() == WhichWeights::kAveraged ? ", of the average of weights" : "");
  return absl::OkStatus();
}

}  // namespace tl
