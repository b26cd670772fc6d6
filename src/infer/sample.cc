// SPDX-License-Identifier: Apache-2.0
#include "infer/sample.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/human.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "checkpoint/inputs.h"
#include "data/npy.h"
#include "data/pixels.h"
#include "engine/placement.h"
#include "infer/denoising_model.h"
#include "infer/picture_grid.h"
#include "infer/sample_part.h"
#include "nn/patches.h"
#include "objective/descriptor.h"

namespace tl {
namespace {

absl::Status Validate(const SampleOptions& o, const Config& config) {
  const ModelConfig& model = config.model;
  const auto wrong = [](const auto&... text) {
    return absl::InvalidArgumentError(absl::StrCat(text...));
  };
  if (FindSamplerKind(o.sampler) == nullptr) {
    std::vector<const char*> names;
    for (const SamplerKind& kind : SamplerKinds()) names.push_back(kind.name);
    return wrong("--sampler ", o.sampler, ": expected one of ", absl::StrJoin(names, ", "));
  }
  if (o.out.empty() && o.grid.empty())
    return wrong("--out FILE.npy or --grid FILE.png is required: where samples go");
  if (o.bytes && o.out.empty()) return wrong("--bytes is for --out");
  if (o.label >= model.classes && o.label >= 0) {
    return model.classes == 0
               ? wrong("--class ", o.label, ": ", o.run_dir, " knows no classes")
               : wrong("--class ", o.label, ": expected one from 0 to ", model.classes - 1);
  }
  if (o.guidance != 1.0 && model.classes == 0)
    return wrong("--guidance ", o.guidance, ": ", o.run_dir, " knows no classes");
  if (o.guidance != 1.0 &&
      !DescriptorOf(config.objective).diffusion(config.objective).knows_no_label) {
    return wrong(
        "--guidance ", o.guidance, ": ", o.run_dir,
        " was trained with [objective] label_drop = 0, so that it knows no samples without "
        "a class to guide away from");
  }
  if (!o.grid.empty() && !PngShows(model.shape[0]))
    return wrong("--grid: pictures have 1 or 3 channels, these have ", model.shape[0]);
  return absl::OkStatus();
}

int32_t LabelOf(const SampleOptions& options, int64_t classes, int64_t sample) {
  if (classes == 0) return 0;
  return static_cast<int32_t>(options.label >= 0 ? options.label : sample % classes);
}

absl::StatusOr<std::vector<float>> DrawPart(const SampleOptions& options, const SamplerKind& kind,
                                            const SamplePart& part, DenoisingModel& model) {
  const int64_t width = model.width();
  const NoiseAt noise = SamplingNoise(options.seed);
  std::vector<float> drawn;
  drawn.reserve(static_cast<size_t>(part.count * width));
  ProgressBar bar("sample", part.count, ProgressUnit::kCount);
  for (int64_t first = 0; first < part.count; first += options.batch) {
    std::vector<int64_t> samples;
    std::vector<int32_t> labels;
    for (int64_t i = first; i < std::min(part.count, first + options.batch); ++i) {
      samples.push_back(part.first + i);
      labels.push_back(LabelOf(options, model.classes(), samples.back()));
    }
    const std::vector<int32_t> none(labels.size(), static_cast<int32_t>(model.classes()));
    const auto of_labels = [&](const std::vector<int32_t>& of) -> Denoiser {
      return [&](absl::Span<const double> x_hat, absl::Span<const double> noises,
                 absl::Span<double> clean) { return model.Estimate(of, x_hat, noises, clean); };
    };
    const Denoiser denoiser = options.guidance == 1.0
                                  ? of_labels(labels)
                                  : Guided(of_labels(labels), of_labels(none), options.guidance);
    TL_ASSIGN_OR_RETURN(const std::vector<double> x, DrawSamples(kind,
                                                                 {.process = model.process(),
                                                                  .denoiser = denoiser,
                                                                  .noise = noise,
                                                                  .samples = samples,
                                                                  .width = width},
                                                                 options.sampling));
    drawn.insert(drawn.end(), x.begin(), x.end());
    bar.Add(static_cast<int64_t>(samples.size()));
  }
  return drawn;
}

// Rank 0's files, made before the first sample is drawn.
class Outputs {
 public:
  absl::Status Open(const SampleOptions& options, const ModelConfig& model) {
    options_ = options;
    grid_ = GridOf(model);
    if (options.out.empty()) return absl::OkStatus();
    auto npy = NpyWriter::Create(options.out, options.bytes ? ArrayType::kU8 : ArrayType::kF32,
                                 {options.count, grid_.channels, grid_.height, grid_.width});
    if (npy.ok()) npy_.emplace(*std::move(npy));
    return npy.status();
  }
  absl::Status Add(const std::vector<float>& rows) {
    std::vector<float> pictures(rows.size());
    for (int64_t at = 0; at < std::ssize(rows); at += grid_.values())
      Unpatchify(grid_, rows.data() + at, pictures.data() + at);
    if (options_.bytes || !options_.grid.empty()) {
      const size_t before = bytes_.size();
      for (const float x : pictures) bytes_.push_back(ByteOfPixel(x));
      if (npy_ && options_.bytes)
        TL_RETURN_IF_ERROR(npy_->Append(absl::MakeConstSpan(bytes_).subspan(before)));
      if (options_.grid.empty()) bytes_.clear();
    }
    return npy_ && !options_.bytes ? npy_->Append(pictures) : absl::OkStatus();
  }
  absl::Status Finish() {
    if (!options_.grid.empty()) {
      TL_RETURN_IF_ERROR(WritePictureGrid(options_.grid, {.pictures = bytes_,
                                                          .count = options_.count,
                                                          .channels = grid_.channels,
                                                          .height = grid_.height,
                                                          .width = grid_.width}));
    }
    return npy_ ? npy_->Finish() : absl::OkStatus();
  }

 private:
  SampleOptions options_;
  PatchGrid grid_;
  std::optional<NpyWriter> npy_;
  std::vector<uint8_t> bytes_;
};

// Gives rank 0 the parts of the data ranks, one after the other.
absl::Status Gather(const Mesh& mesh, std::vector<float> mine, int64_t count, int64_t width,
                    Outputs& outputs) {
  Communicator& world = mesh.world().host();
  Stream stream = Stream::Cpu();
  absl::Status status;
  for (int r = 0; r < mesh.data_size(); ++r) {
    const int64_t values = PartOf(count, mesh.data_size(), r).count * width;
    const int from = r * mesh.tensor_size();
    if (values == 0) continue;
    std::vector<Communicator::Transfer> transfers;  // all ranks make the call
    if (from != 0 && world.rank() == from)
      transfers.push_back({.peer = 0, .send = Tensor::Of(mine.data(), {values}), .recv = {}});
    if (from != 0 && world.rank() == 0) {
      mine.resize(static_cast<size_t>(values));
      transfers.push_back({.peer = from, .send = {}, .recv = Tensor::Of(mine.data(), {values})});
    }
    world.Exchange(stream, transfers);
    if (world.rank() != 0) continue;
    if (status.ok()) status = outputs.Add(mine);
  }
  if (status.ok() && world.rank() == 0) status = outputs.Finish();
  return AgreeOnStatus(world, status);
}

}  // namespace

absl::Status Sample(const SampleOptions& options, const Config& config, Communicator& world) {
  TL_RETURN_IF_ERROR(Validate(options, config));
  const SamplerKind* kind = FindSamplerKind(options.sampler);
  TL_ASSIGN_OR_RETURN(const SamplerOptions sampling, ResolveSampling(*kind, options.sampling));
  TL_RETURN_IF_ERROR(
      CheckEvalInputs("data", {}, config, CheckpointFolder(config, options.run_dir), world));
  Outputs outputs;
  TL_RETURN_IF_ERROR(AgreeOnStatus(
      world, world.rank() == 0 ? outputs.Open(options, config.model) : absl::OkStatus()));
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(config, world));
  TL_ASSIGN_OR_RETURN(const auto model,
                      DenoisingModel::Load(options.run_dir, config, options.batch, options.weights,
                                           DenoisingModel::Gives::kEstimates, mesh));
  const auto start = std::chrono::steady_clock::now();
  const SamplePart part = PartOf(options.count, mesh.data_size(), mesh.data_rank());
  auto drawn = DrawPart(options, *kind, part, *model);
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, drawn.status()));
  TL_RETURN_IF_ERROR(Gather(mesh, *std::move(drawn), options.count, model->width(), outputs));
  if (world.rank() != 0) return absl::OkStatus();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const int64_t passes = kind->evaluations(sampling);
  absl::PrintF(
      "%d samples by %s%s in %s, %.2f a second, with the %s weights\n", options.count, kind->name,
      passes > 0
          ? absl::StrCat(" in ", passes, " passes", options.guidance == 1.0 ? "" : ", each twice")
          : "",
      HumanTime(seconds), static_cast<double>(options.count) / seconds,
      model->weights() == WhichWeights::kAveraged ? "averaged" : "trained");
  for (const std::string& path : {options.out, options.grid}) {
    if (!path.empty()) absl::PrintF("%s: written\n", path);
  }
  return absl::OkStatus();
}

}  // namespace tl
