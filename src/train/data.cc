// SPDX-License-Identifier: Apache-2.0
#include "train/data.h"

#include <utility>

#include "base/status.h"
#include "data/array_source.h"
#include "data/blend.h"

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
                                                            Communicator& world) {
  if (!config.model.of_values()) return Agreed(OpenSequential(MakeBlend(config, paths)), world);
  ArrayOptions options = MakeArrays(config, paths);
  options.dequantize = false;
  return Agreed(OpenArrays(options, ArrayOrder::kSequential), world);
}

}  // namespace tl
