// SPDX-License-Identifier: Apache-2.0
#include "train/data.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/logging.h"
#include "base/status.h"
#include "data/array_source.h"
#include "data/blend.h"
#include "objective/descriptor.h"
#include "objective/preconditioning.h"

namespace tl {
namespace {

std::vector<BlendFile> Files(const std::vector<WeightedPath>& paths) {
  std::vector<BlendFile> files;
  for (const WeightedPath& path : paths) files.push_back({path.path, path.weight});
  return files;
}

BlendOptions MakeBlend(const Config& config, const std::vector<WeightedPath>& paths) {
  return {.files = Files(paths),
          .seed = static_cast<uint64_t>(config.train.seed),
          .vocab = config.model.vocab,
          .pack_documents = config.data.pack_documents};
}

ArrayOptions MakeArrays(const Config& config, const std::vector<WeightedPath>& paths) {
  ArrayOptions options = {.files = {},
                          .grid = GridOf(config.model),
                          .classes = config.model.classes,
                          .seed = static_cast<uint64_t>(config.train.seed),
                          .flip = config.data.flip,
                          .dequantize = config.data.dequantize};
  for (const WeightedPath& path : paths)
    options.files.push_back({path.path, path.labels, path.weight});
  return options;
}

class First : public DataSource {
 public:
  First(std::unique_ptr<DataSource> source, int64_t count)
      : source_(std::move(source)), count_(count) {}
  absl::Status FillBatch(int64_t first_sample, int64_t count, int64_t sequence_length,
                         int64_t lookahead, HostBatch* out) const override {
    TL_RETURN_IF_ERROR(source_->FillBatch(first_sample, count, sequence_length, lookahead, out));
    for (int64_t& sample : out->samples) {
      if (sample >= count_) sample = -1;
    }
    return absl::OkStatus();
  }
  int64_t SampleCount(int64_t sequence_length) const override {
    const int64_t all = source_->SampleCount(sequence_length);
    return all < 0 ? count_ : std::min(all, count_);
  }
  int64_t TokenCount() const override { return source_->TokenCount(); }
  double BytesPerToken() const override { return source_->BytesPerToken(); }

 private:
  std::unique_ptr<DataSource> source_;
  int64_t count_;
};

absl::StatusOr<std::unique_ptr<DataSource>> Agreed(
    absl::StatusOr<std::unique_ptr<DataSource>> source, Communicator& world) {
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, source.status()));
  return source;
}

}  // namespace

absl::Status CheckOneKind(const Config& config, const std::vector<WeightedPath>& paths,
                          Communicator& world) {
  if (config.model.of_values()) return absl::OkStatus();
  return AgreeOnStatus(world, CheckSameTokenizer(Files(paths)));
}

absl::StatusOr<std::unique_ptr<DataSource>> OpenTrainingData(const Config& config,
                                                             Communicator& world) {
  const std::vector<WeightedPath>& paths = config.data.train;
  return Agreed(config.model.of_values()
                    ? OpenArrays(MakeArrays(config, paths), ArrayOrder::kShuffled)
                    : OpenBlend(MakeBlend(config, paths)),
                world);
}

absl::StatusOr<std::unique_ptr<DataSource>> OpenHeldOutData(const Config& config,
                                                            const std::vector<WeightedPath>& paths,
                                                            Communicator& world,
                                                            HeldOutBytes bytes) {
  if (!config.model.of_values()) return Agreed(OpenSequential(MakeBlend(config, paths)), world);
  ArrayOptions options = MakeArrays(config, paths);
  options.seed = 0;
  options.dequantize = false;
  auto source = OpenArrays(options, ArrayOrder::kSequential);
  // Numbers that are no bytes stay what they are.
  if (bytes == HeldOutBytes::kPlaces && source.ok() && (*source)->BytesPerToken() > 0) {
    options.dequantize = true;
    source = OpenArrays(options, ArrayOrder::kSequential);
  }
  return Agreed(std::move(source), world);
}

void WarnOfScale(const Config& config, const DataSource& train) {
  constexpr int64_t kSamples = 256;
  constexpr double kFar = 1.25;
  const auto& diffusion_of = DescriptorOf(config.objective).diffusion;
  if (diffusion_of == nullptr) return;
  const Diffusion diffusion = diffusion_of(config.objective);
  if (!ScalesByData(diffusion.process, diffusion.prediction)) return;
  HostBatch batch;
  // What cannot be read is told when it is trained on.
  if (!train.FillBatch(0, kSamples, GridOf(config.model).rows(), 1, &batch).ok()) return;
  double squares = 0.0;
  for (const float x : batch.values) squares += static_cast<double>(x) * x;
  const double root = std::sqrt(squares / static_cast<double>(batch.values.size()));
  const double set = diffusion.process.options().sigma_data;
  if (root < set * kFar && set < root * kFar) return;
  LogWarning(
      absl::StrFormat("[objective] sigma_data = %g: the root of the mean square of the first %d "
                      "training samples is %.3g, which it should be near to",
                      set, kSamples, root));
}

std::unique_ptr<DataSource> FirstSamples(std::unique_ptr<DataSource> source, int64_t count) {
  return std::make_unique<First>(std::move(source), count);
}

}  // namespace tl
