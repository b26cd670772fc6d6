// SPDX-License-Identifier: Apache-2.0
#include "convert/import.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/lfs.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/temporary.h"
#include "config/parse.h"
#include "convert/hf_config.h"
#include "convert/output_folder.h"
#include "convert/report.h"
#include "convert/shards.h"
#include "convert/trunk_names.h"
#include "data/model_text.h"
#include "data/token_names.h"
#include "engine/model.h"
#include "objective/keys.h"

namespace tl {
namespace {

constexpr int64_t kMostConfigBytes = 10 << 20;
// Longer ones are a matter of [train] sequence_length; activations are planned for it.
constexpr int64_t kLongestByDefault = 2048;

absl::StatusOr<bool> SameNumbers(const WeightSource& source, const std::string& a,
                                 const std::string& b) {
  const SourceTensor *x = source.Find(a), *y = source.Find(b);
  if (x == nullptr || y == nullptr || x->shape != y->shape) return false;
  int64_t elements = 1;
  for (const int64_t dim : x->shape) elements *= dim;
  constexpr int64_t kPiece = 1 << 20;
  std::vector<float> left, right;
  for (int64_t begin = 0; begin < elements; begin += kPiece) {
    left.resize(static_cast<size_t>(std::min(kPiece, elements - begin)));
    right.resize(left.size());
    const auto count = static_cast<int64_t>(left.size());
    TL_RETURN_IF_ERROR(source.Read(a, begin, count, left.data()));
    TL_RETURN_IF_ERROR(source.Read(b, begin, count, right.data()));
    if (left != right) return false;
  }
  return true;
}

// Why a tensor that the trunk does not have may be left out; empty: it may not.
absl::StatusOr<std::string> ReasonToLeaveOut(const WeightSource& source, const ModelConfig& model,
                                             const std::string& name) {
  if (absl::EndsWith(name, "rotary_emb.inv_freq"))
    return std::string("left out: the rotary table follows from the config");
  if (name != "lm_head.weight" || !model.tie_embeddings) return std::string();
  TL_ASSIGN_OR_RETURN(const bool same, SameNumbers(source, name, "model.embed_tokens.weight"));
  return std::string(same ? "left out: equal to the embedding, with which it is tied" : "");
}

absl::StatusOr<std::vector<TensorPlacement>> PlaceTensors(const WeightSource& source,
                                                          const std::string& folder,
                                                          const Config& config) {
  TL_ASSIGN_OR_RETURN(const std::vector<ParamPart> declared,
                      ModelTensors(config.model, config.objective));
  std::map<std::string, const ParamPart*> wanted;  // by its name here
  for (const ParamPart& part : declared) wanted[part.name] = &part;
  std::vector<TensorPlacement> placements;
  for (const SourceTensor& tensor : source.tensors()) {
    TensorPlacement placement{.source = tensor.name, .shape = tensor.shape, .dtype = tensor.dtype};
    const auto refuse = [&](const std::string& what) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, ": tensor \"", tensor.name, "\" ", ShapeText(tensor.shape), what));
    };
    const auto name = TrunkName(tensor.name, Naming::kHuggingFace, Naming::kTrunkline);
    const auto it = wanted.find(name.value_or(""));
    if (it == wanted.end()) {
      TL_ASSIGN_OR_RETURN(placement.note, ReasonToLeaveOut(source, config.model, tensor.name));
      if (placement.note.empty() && tensor.name == "lm_head.weight") {
        return refuse(
            ": differs from the embedding, with which config.json ties it: set "
            "tie_word_embeddings to false there to keep it, or take it out of the weights");
      }
      if (placement.note.empty())
        return refuse(": by its config.json the model has no such tensor");
      placements.push_back(std::move(placement));
      continue;
    }
    std::vector<int64_t> shape;
    for (int i = 0; i < it->second->shape.rank(); ++i) shape.push_back(it->second->shape[i]);
    if (tensor.shape != shape)
      return refuse(absl::StrCat(": by its config.json the shape is ", ShapeText(shape)));
    if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kBF16 && tensor.dtype != DType::kF16)
      return refuse(absl::StrCat(": expected fp32, bf16 or fp16, found ", Name(tensor.dtype)));
    placement.target = it->first;
    wanted.erase(it);
    placements.push_back(std::move(placement));
  }
  if (!wanted.empty()) {
    const std::string& name = wanted.begin()->first;
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": no tensor \"",
                     TrunkName(name, Naming::kTrunkline, Naming::kHuggingFace).value_or(name),
                     "\", which the model of its config.json has"));
  }
  return placements;
}

// A LoRA's folder may hold the base's config.json too, but not what the two make together.
absl::Status RefuseAdapter(const std::string& folder) {
  const std::string path = folder + "/adapter_config.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   ": the folder holds an adapter (LoRA), not a whole model: merge it into its "
                   "base with peft's merge_and_unload, save that and import it"));
}

absl::Status CopyText(const std::string& folder, const ModelConfig& model,
                      const OutputFolder& out) {
  TL_ASSIGN_OR_RETURN(const ModelText text, ReadModelText(folder));
  if (text.tokenizer->vocab_size() > model.vocab) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder, ": its tokenizer has ", text.tokenizer->vocab_size(),
        " tokens, the model's vocab_size is ", model.vocab, ": no row for ",
        TokenName(*text.tokenizer, static_cast<int32_t>(model.vocab)),
        "; take such tokens out of tokenizer.json's added_tokens, or give the model rows "
        "for them with transformers' resize_token_embeddings"));
  }
  if (const std::string note = text.tokenizer->note(); !note.empty())
    LogWarning(folder + ": " + note);
  return SaveModelText(text, out.path());
}

Precision PrecisionOf(const std::vector<TensorPlacement>& placements) {
  for (const TensorPlacement& p : placements) {
    if (p.left_out()) continue;
    return p.dtype == DType::kBF16  ? Precision::kBf16
           : p.dtype == DType::kF16 ? Precision::kFp16
                                    : Precision::kFp32;
  }
  return Precision::kFp32;
}

}  // namespace

absl::StatusOr<std::vector<TensorPlacement>> ImportHuggingFace(const std::string& folder,
                                                               const std::string& out) {
  TL_RETURN_IF_ERROR(CheckNewFolder(out));
  const std::string path = folder + "/config.json";
  TL_RETURN_IF_ERROR(RefuseAdapter(folder));
  TL_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMostConfigBytes));
  TL_RETURN_IF_ERROR(CheckNotLfsPointer(text, path));
  TL_ASSIGN_OR_RETURN(const HfConfig hf, ParseHfConfig(text, path));
  TL_ASSIGN_OR_RETURN(const auto source, OpenHuggingFaceWeights(folder));
  Config config;
  config.model = hf.model;
  config.train.steps = 1;
  config.train.global_batch_size = config.train.micro_batch_size = 1;
  config.train.sequence_length = std::clamp<int64_t>(hf.max_positions, 1, kLongestByDefault);
  config.run.init_from = out + "/weights.safetensors";
  config.run.dir = out + "-run";  // of a training that starts from here
  TL_ASSIGN_OR_RETURN(std::vector<TensorPlacement> placements,
                      PlaceTensors(*source, folder, config));
  config.precision.compute = PrecisionOf(placements);
  TL_ASSIGN_OR_RETURN(OutputFolder target, OutputFolder::Create(out));
  TL_RETURN_IF_ERROR(CopyText(folder, config.model, target));
  TL_RETURN_IF_ERROR(WriteShards(*source, target, "weights", INT64_MAX, placements));
  TL_RETURN_IF_ERROR(target.WriteText("config.toml", WriteResolved(AllKeys(), config)));
  TL_RETURN_IF_ERROR(target.WriteText(kReportFile, ReportJson("import hf", placements)));
  TL_RETURN_IF_ERROR(target.Commit());
  return placements;
}

}  // namespace tl
