// SPDX-License-Identifier: Apache-2.0
// A trunk with one sequential MTP module as MiMoForCausalLM, which vLLM and SGLang draft with.
// The architecture is Qwen2's: q, k and v have biases, zeros where the model has none. The module's
// tensors are model.mtp_layers.0.*, and its input_proj takes [hidden | embedding]. The unembedding
// is always written: vLLM's draft model has one of its own.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
#include "convert/export.h"
#include "convert/shards.h"
#include "convert/text_files.h"
#include "convert/trunk_names.h"
#include "objective/sequential_mtp.h"

namespace tl {
namespace {

constexpr char kModule[] = "mtp.1.";
constexpr char kTarget[] = "model.mtp_layers.0.";

struct ModuleName {
  const char* ours;
  const char* theirs;
};
constexpr ModuleName kOfModule[] = {
    {"embedding_norm.weight", "token_layernorm.weight"},
    {"hidden_norm.weight", "hidden_layernorm.weight"},
    {"final_norm.weight", "final_layernorm.weight"},
    {"projection.weight", "input_proj.weight"},
};

std::string HuggingFaceName(const std::string& name) {
  return TrunkName(name, Naming::kTrunkline, Naming::kHuggingFace).value_or("");
}

std::string MimoName(const std::string& name) {
  absl::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, kModule)) return HuggingFaceName(name);
  for (const ModuleName& n : kOfModule) {
    if (rest == n.ours) return absl::StrCat(kTarget, n.theirs);
  }
  // The block's tensors have a layer's names.
  if (!absl::ConsumePrefix(&rest, "block.")) return "";
  const std::string layer = HuggingFaceName(absl::StrCat("layers.0.", rest));
  rest = layer;
  return absl::ConsumePrefix(&rest, "model.layers.0.") ? absl::StrCat(kTarget, rest) : "";
}

// transformers does not know this model_type; with trust_remote_code it reads this file.
constexpr char kConfigurationFile[] = "configuration_mimo.py";
constexpr char kConfiguration[] =
    R"(from transformers.models.qwen2.configuration_qwen2 import Qwen2Config


class MiMoConfig(Qwen2Config):
    model_type = "mimo"

    def __init__(self, num_nextn_predict_layers=0, **kwargs):
        super().__init__(**kwargs)
        self.num_nextn_predict_layers = num_nextn_predict_layers
)";

absl::Status CheckModel(const Config& config) {
  const auto refused = [](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrCat("format mimo: ", why));
  };
  const ModelConfig& m = config.model;
  const ObjectiveConfig& o = config.objective;
  if (!Exports(o, "mimo"))
    return refused(absl::StrCat("objective ", o.name, " has no sequential MTP module"));
  const auto settings = SettingsOf<SequentialMtpSettings>(o);
  if (settings.depth > 1 && !settings.share_weights) {
    return refused(absl::StrCat("engines draft with one module, the model has ", settings.depth,
                                " ([objective] depth = 1, or share_weights = true)"));
  }
  if (m.qk_norm || m.sliding_window > 0)
    return refused("MiMoForCausalLM has neither qk_norm nor a sliding_window");
  if (m.heads * m.head_dim_or_default() != m.hidden) {
    return refused(absl::StrCat("vLLM takes hidden / heads for head_dim, ", m.hidden, " / ",
                                m.heads, "; [model] head_dim is ", m.head_dim_or_default()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MimoConfig(const ExportJob& job) {
  ModelConfig model = job.config.model;
  model.qkv_bias = true;
  model.tie_embeddings = false;
  TL_ASSIGN_OR_RETURN(const std::string text, ConfigFile(job, model));
  TL_ASSIGN_OR_RETURN(auto config, ParseOrderedPythonJson(text, "config.json"));
  config["architectures"] = {"MiMoForCausalLM"};
  config["model_type"] = "mimo";
  config["auto_map"] = {{"AutoConfig", "configuration_mimo.MiMoConfig"}};
  config["num_nextn_predict_layers"] = 1;
  config["attention_bias"] = true;
  return DumpPythonJson(config);
}

std::vector<TensorPlacement> PlaceMimoTensors(const ExportJob& job) {
  const bool stream =
      SettingsOf<SequentialMtpSettings>(job.config.objective).hidden == HiddenTap::kStream;
  std::vector<TensorPlacement> placements, biases;
  for (const SourceTensor& tensor : job.source->tensors()) {
    TensorPlacement placement{.source = tensor.name,
                              .target = MimoName(tensor.name),
                              .shape = tensor.shape,
                              .dtype = job.dtype};
    TL_CHECK(!placement.target.empty()) << tensor.name;
    if (tensor.name == "mtp.1.hidden_norm.weight") {
      placement.note = stream
                           ? "trained on the trunk's stream, which vLLM gives it; SGLang gives it "
                             "the state after the final norm ([objective] hidden = \"final_norm\")"
                           : "trained on the trunk's state after the final norm, which SGLang "
                             "gives it; vLLM gives it the stream ([objective] hidden = \"stream\")";
    }
    placements.push_back(placement);
    if (tensor.name == "embedding.weight" && job.config.model.tie_embeddings) {
      placement.target = "lm_head.weight";
      placement.note = "written twice: the draft model has an unembedding of its own";
      placements.push_back(placement);
    }
    for (const char* which : {"q", "k", "v"}) {
      absl::string_view stem = placement.target;
      if (job.config.model.qkv_bias ||
          !absl::EndsWith(stem, absl::StrCat(".self_attn.", which, "_proj.weight")))
        continue;
      absl::ConsumeSuffix(&stem, "weight");
      biases.push_back({.target = absl::StrCat(stem, "bias"),
                        .shape = {tensor.shape[0]},
                        .dtype = job.dtype,
                        .note = "zeros: MiMoForCausalLM has this bias always"});
    }
  }
  placements.insert(placements.end(), biases.begin(), biases.end());
  return placements;
}

}  // namespace

absl::StatusOr<std::vector<TensorPlacement>> WriteMimo(const ExportJob& job,
                                                       const OutputFolder& out) {
  TL_RETURN_IF_ERROR(CheckModel(job.config));
  TL_RETURN_IF_ERROR(RefuseTrunkOnly(job, "mimo"));
  TL_ASSIGN_OR_RETURN(const std::string config, MimoConfig(job));
  std::vector<TensorPlacement> placements = PlaceMimoTensors(job);
  TL_RETURN_IF_ERROR(WriteHuggingFaceSides(job, out));
  TL_RETURN_IF_ERROR(WriteShards(*job.source, out, "model", job.shard_bytes, placements));
  TL_RETURN_IF_ERROR(out.WriteText("config.json", config));
  TL_RETURN_IF_ERROR(out.WriteText(kConfigurationFile, kConfiguration));
  return placements;
}

}  // namespace tl
