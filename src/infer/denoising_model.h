// SPDX-License-Identifier: Apache-2.0
// A trained model of values, asked for clean data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/load.h"
#include "config/config.h"
#include "engine/engine.h"
#include "infer/samplers.h"
#include "objective/diffusion.h"

namespace tl {

class DenoisingModel {
 public:
  // What it gives. Of kProducts it runs in fp32, whatever the run does, and has the memory of a
  // backward pass, without gradients of weights.
  enum class Gives : uint8_t { kEstimates, kProducts /* and estimates with them */ };

  // With the weights of a run folder's newest save. batch: samples that there are at once. Refuses
  // what memory does not hold. Collective.
  static absl::StatusOr<std::unique_ptr<DenoisingModel>> Load(const std::string& run_dir,
                                                              const Config& config, int64_t batch,
                                                              WhichWeights which, Gives gives,
                                                              Mesh& mesh);

  const Process& process() const { return diffusion_.process; }
  // Numbers of a sample, in patches (nn/patches.h).
  int64_t width() const;
  int64_t classes() const { return engine_.model().options().model.classes; }
  // Which weights it has.
  WhichWeights weights() const { return weights_; }

  // Writes D(x̂; σ̂), see Denoiser. labels: of each row its class; `classes()`: none. On a CPU a row's
  // bits depend on that row alone: the network runs sample by sample, in products of one shape. On a
  // GPU it runs `batch` rows at a time, short batches filled up, and bits hold for one batch size.
  absl::Status Estimate(absl::Span<const int32_t> labels, absl::Span<const double> x_hat,
                        absl::Span<const double> noise, absl::Span<double> clean);
  // Writes that and product = (dD/dx̂)^T probe, see DenoiserProduct.
  absl::Status EstimateWithProduct(absl::Span<const int32_t> labels, absl::Span<const double> x_hat,
                                   absl::Span<const double> noise, absl::Span<const double> probe,
                                   absl::Span<double> clean, absl::Span<double> product);

 private:
  DenoisingModel(std::unique_ptr<Model> model, const Diffusion& diffusion, Mesh& mesh);
  // Without a probe it makes no product.
  absl::Status Run(absl::Span<const int32_t> labels, absl::Span<const double> x_hat,
                   absl::Span<const double> noise, absl::Span<const double> probe,
                   absl::Span<double> clean, absl::Span<double> product);

  std::unique_ptr<Model> model_;
  Diffusion diffusion_;
  Engine engine_;
  WhichWeights weights_ = WhichWeights::kTrained;
  HostBatch batch_;
  std::vector<float> f_, product_of_f_;
};

}  // namespace tl
