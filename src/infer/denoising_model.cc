// SPDX-License-Identifier: Apache-2.0
#include "infer/denoising_model.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "engine/memory.h"
#include "engine/options.h"
#include "engine/placement.h"
#include "objective/descriptor.h"
#include "objective/preconditioning.h"

namespace tl {

DenoisingModel::DenoisingModel(std::unique_ptr<Model> model, const Diffusion& diffusion, Mesh& mesh)
    : model_(std::move(model)), diffusion_(diffusion), engine_(*model_, mesh) {
  const BatchShape shape = model_->batch_shape();
  const auto values = static_cast<size_t>(shape.rows() * shape.row_values);
  batch_.count = shape.count;
  batch_.sequence_length = shape.sequence_length;
  batch_.noisy.resize(values);
  batch_.features.resize(static_cast<size_t>(shape.count * kFeatures));
  batch_.labels.resize(static_cast<size_t>(shape.count));
  f_.resize(values);
}

absl::StatusOr<std::unique_ptr<DenoisingModel>> DenoisingModel::Load(const std::string& run_dir,
                                                                     const Config& config,
                                                                     int64_t batch,
                                                                     WhichWeights which,
                                                                     Gives gives, Mesh& mesh) {
  ModelOptions options = MakeModelOptions(config, mesh.place().device.type);
  options.batch = options.device == DeviceType::kCpu ? 1 : batch;
  options.sequence_parallel = false;
  options.blocks = {};
  options.purpose = Plan::Purpose::kInference;
  if (gives == Gives::kProducts) {
    options.compute = DType::kF32;
    options.purpose = Plan::Purpose::kInputGradient;
  }
  TL_ASSIGN_OR_RETURN(auto declared, DeclareModel(options, mesh));
  std::vector<MemoryRow> memory = {{"weights", declared->weight_bytes()},
                                   {"activations", declared->activation_bytes()},
                                   {"inputs and tables", declared->input_bytes()}};
  if (options.device != DeviceType::kCpu)
    memory.push_back({"scratch of kernels and cuBLASLt", declared->scratch_bytes()});
  AddCudaCode(mesh.place().device, &memory);
  TL_RETURN_IF_ERROR(CheckMemory(memory, mesh));
  std::unique_ptr<DenoisingModel> model(new DenoisingModel(
      std::move(declared), DescriptorOf(config.objective).diffusion(config.objective), mesh));
  Engine& engine = model->engine_;
  TL_ASSIGN_OR_RETURN(
      model->weights_,
      LoadWeights(
          CheckpointFolder(config, run_dir), mesh.world(), engine.params(),
          [&](ParamId id, const float* values) { engine.SetWeights(id, values); }, which));
  return model;
}

int64_t DenoisingModel::width() const {
  const BatchShape shape = model_->batch_shape();
  return shape.sequence_length * shape.row_values;
}

absl::Status DenoisingModel::Estimate(absl::Span<const int32_t> labels,
                                      absl::Span<const double> x_hat,
                                      absl::Span<const double> noise, absl::Span<double> clean) {
  return Run(labels, x_hat, noise, {}, clean, {});
}

absl::Status DenoisingModel::EstimateWithProduct(absl::Span<const int32_t> labels,
                                                 absl::Span<const double> x_hat,
                                                 absl::Span<const double> noise,
                                                 absl::Span<const double> probe,
                                                 absl::Span<double> clean,
                                                 absl::Span<double> product) {
  batch_.target.resize(f_.size());
  product_of_f_.resize(f_.size());
  return Run(labels, x_hat, noise, probe, clean, product);
}

absl::Status DenoisingModel::Run(absl::Span<const int32_t> labels, absl::Span<const double> x_hat,
                                 absl::Span<const double> noise, absl::Span<const double> probe,
                                 absl::Span<double> clean, absl::Span<double> product) {
  const auto rows = static_cast<int64_t>(noise.size()), d = width();
  std::vector<Coefficients> coefficients(static_cast<size_t>(batch_.count));
  for (int64_t first = 0; first < rows; first += batch_.count) {
    const int64_t count = std::min(batch_.count, rows - first);
    std::fill(batch_.noisy.begin(), batch_.noisy.end(), 0.0f);
    std::fill(batch_.labels.begin(), batch_.labels.end(), static_cast<int32_t>(classes()));
    std::fill(batch_.target.begin(), batch_.target.end(), 0.0f);
    for (int64_t b = 0; b < count; ++b) {
      const double* x = x_hat.data() + (first + b) * d;
      const Coefficients c =
          CoefficientsAt(diffusion_.process, diffusion_.prediction, noise[first + b]);
      coefficients[b] = c;
      std::transform(x, x + d, batch_.noisy.begin() + b * d,
                     [&](double value) { return static_cast<float>(c.in * value); });
      LevelFeatures(c.level, absl::MakeSpan(batch_.features).subspan(b * kFeatures, kFeatures));
      batch_.labels[b] = labels[first + b];
      for (int64_t i = 0; i < d && !probe.empty(); ++i)
        batch_.target[b * d + i] = static_cast<float>(probe[(first + b) * d + i]);
    }
    if (probe.empty()) {
      engine_.Predict(batch_, absl::MakeSpan(f_));
    } else {
      engine_.Predict(batch_, absl::MakeSpan(f_), absl::MakeSpan(product_of_f_));
    }
    for (int64_t b = 0; b < count; ++b) {
      const int64_t row = (first + b) * d;
      for (int64_t i = 0; i < d; ++i)
        clean[row + i] = CleanOf(coefficients[b], x_hat[row + i], f_[b * d + i]);
      for (int64_t i = 0; i < d && !probe.empty(); ++i)
        product[row + i] = ProductOf(coefficients[b], probe[row + i], product_of_f_[b * d + i]);
    }
  }
  return absl::OkStatus();
}

}  // namespace tl
