// SPDX-License-Identifier: Apache-2.0
#include "train/inputs.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/health.h"
#include "checkpoint/inputs.h"
#include "checkpoint/reader.h"

namespace tl {
namespace {

constexpr char kInitFrom[] = "run.init_from";

// What the run that goes on from here read at its start.
void AddInitFrom(const std::string& where, std::vector<FileIdentity>* files) {
  const auto checkpoints = FindCheckpoints(where);
  if (!checkpoints.ok()) return;
  const auto manifest = CheckpointReader::ReadManifest(HealthyFirst(*checkpoints)[0]);
  if (!manifest.ok()) return;
  for (const FileIdentity& file : manifest->data)
    if (absl::StartsWith(file.key, kInitFrom)) files->push_back(file);
}

absl::Status Identify(const Config& config, const std::string& resumes,
                      std::vector<FileIdentity>* data, std::vector<FileIdentity>* weights) {
  TL_RETURN_IF_ERROR(IdentifyDataOf(config, "data.train", config.data.train, data));
  TL_RETURN_IF_ERROR(IdentifyDataOf(config, "data.eval", config.data.eval, data));
  if (!resumes.empty()) return IdentifyWeights("checkpoint.resume", resumes, weights);
  if (config.run.init_from.empty()) return absl::OkStatus();
  return IdentifyWeights(kInitFrom, config.run.init_from, weights);
}

}  // namespace

std::string ResumesFrom(const Config& config, Communicator& world) {
  const std::string& resume = config.checkpoint.resume;
  const bool automatic = resume == "auto";
  const std::string where = automatic ? CheckpointFolder(config, config.run.dir) : resume;
  int32_t found = resume != "never" && (!automatic || !ListCheckpoints(where).empty());
  Stream stream = Stream::Cpu();
  world.Broadcast(stream, Tensor::Of(&found, {1}), 0);
  return found != 0 ? where : "";
}

absl::StatusOr<RunInputs> CheckInputs(const Config& config, Communicator& world) {
  const std::string resumes = ResumesFrom(config, world);
  RunInputs inputs;
  std::vector<FileIdentity> weights;
  const absl::Status identified = Identify(config, resumes, &inputs.files, &weights);
  std::vector<FileIdentity> all = inputs.files;
  all.insert(all.end(), weights.begin(), weights.end());
  TL_RETURN_IF_ERROR(AgreeOnFiles(world, identified, all));

  const std::string& model = resumes.empty() ? config.run.init_from : resumes;
  absl::Status status;
  if (world.rank() == 0) {
    inputs.tokenizer_hash = TokenizerHashOf(inputs.files);
    if (!model.empty() && !config.data.any_tokenizer) status = CheckTokenizer(inputs.files, model);
    if (!model.empty() && inputs.tokenizer_hash == 0)
      inputs.tokenizer_hash = TokenizerHashOf(model);
    if (!resumes.empty()) {
      AddInitFrom(resumes, &inputs.files);
    } else {
      inputs.files = std::move(all);
    }
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, status));
  return inputs;
}

std::string ContentChanges(const std::string& key, const std::vector<FileIdentity>& now,
                           const std::vector<FileIdentity>& before) {
  std::string text;
  for (const FileIdentity& file : now) {
    if (!absl::StartsWith(file.key, key)) continue;
    for (const FileIdentity& old : before) {
      if (old.path != file.path || !absl::StartsWith(old.key, key) || old.SameContent(file))
        continue;
      absl::StrAppend(&text, text.empty() ? "" : "; ", file.key, " ", file.path, ": was ",
                      Describe(old), ", is ", Describe(file));
      break;
    }
  }
  return text;
}

}  // namespace tl
