// SPDX-License-Identifier: Apache-2.0
// Medusa heads, beside the trunk that --format hf --trunk-only writes. Two layouts:
//   vLLM's (MedusaModel): config.json of model_type "medusa"; model.safetensors with
//     blocks.HEAD.layers.LAYER.{weight,bias} and lm_heads.HEAD.weight, or lm_heads.0.weight alone
//     where all heads share the trunk's unembedding (original_lm_head); the trunk's tokenizer;
//   that of Medusa's authors, which TGI and TensorRT-LLM load too: medusa_lm_head.safetensors with
//     HEAD.LAYER.linear.{weight,bias} and HEAD.LAYERS.weight.
// Heads count from 0 in both: head 0 predicts the token after next.
#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/status.h"
#include "convert/export.h"
#include "convert/hf_config.h"
#include "convert/shards.h"
#include "convert/text_files.h"
#include "objective/medusa.h"

namespace tl {
namespace {

enum class Layout : uint8_t { kVllm, kOriginal };

const char* FormatName(Layout layout) {
  return layout == Layout::kVllm ? "medusa" : "medusa-original";
}

// medusa.HEAD.blocks.LAYER.{weight,bias} or medusa.HEAD.lm_head.weight; HEAD counts from 1 there.
struct HeadTensor {
  int64_t head = 0;
  int64_t layer = -1;  // -1: the unembedding
  std::string kind;    // weight, bias
};

std::optional<HeadTensor> Parse(const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  HeadTensor tensor;
  if (parts.size() < 4 || parts[0] != "medusa" || !absl::SimpleAtoi(parts[1], &tensor.head))
    return std::nullopt;
  --tensor.head;
  tensor.kind = parts.back();
  if (parts.size() == 4 && parts[2] == "lm_head") return tensor;
  if (parts.size() == 5 && parts[2] == "blocks" && absl::SimpleAtoi(parts[3], &tensor.layer))
    return tensor;
  return std::nullopt;
}

std::string UnembeddingName(Layout layout, const MedusaSettings& o, int64_t head) {
  return layout == Layout::kVllm ? absl::StrCat("lm_heads.", head, ".weight")
                                 : absl::StrCat(head, ".", o.residual_layers, ".weight");
}

std::string TargetName(Layout layout, const MedusaSettings& o, const HeadTensor& t) {
  if (t.layer < 0) return UnembeddingName(layout, o, t.head);
  return layout == Layout::kVllm ? absl::StrCat("blocks.", t.head, ".layers.", t.layer, ".", t.kind)
                                 : absl::StrCat(t.head, ".", t.layer, ".linear.", t.kind);
}

std::string MedusaConfig(const ExportJob& job, Layout layout) {
  const ModelConfig& m = job.config.model;
  const auto o = SettingsOf<MedusaSettings>(job.config.objective);
  nlohmann::ordered_json config;
  if (layout == Layout::kVllm) {
    // vLLM takes any other key with "num" and "heads" in it for num_heads.
    config = {{"architectures", {"MedusaModel"}},
              {"model_type", "medusa"},
              {"hidden_size", m.hidden},
              {"vocab_size", m.vocab},
              {"truncated_vocab_size", m.vocab},
              {"num_heads", o.heads},
              {"num_hidden_layers", o.residual_layers},
              {"medusa_fc_bias", true},
              {"original_lm_head", !o.own_unembedding},
              // Beyond it vLLM drafts nothing.
              {"max_position_embeddings", ContextLength(job)},
              {"bos_token_id", TokensJson({job.text.rules.begin})},
              {"eos_token_id", TokensJson(job.text.rules.ends)},
              {"pad_token_id", TokensJson({job.text.rules.pad})}};
  } else {
    config = {{"medusa_num_heads", o.heads},
              {"medusa_num_layers", o.residual_layers},
              {"hidden_size", m.hidden},
              {"vocab_size", m.vocab},
              {"base_model_name_or_path", job.name}};
  }
  return config.dump(2) + "\n";
}

absl::StatusOr<std::vector<TensorPlacement>> Write(const ExportJob& job, const OutputFolder& out,
                                                   Layout layout) {
  const char* format = FormatName(layout);
  if (!Exports(job.config.objective, format)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "format ", format, ": objective ", job.config.objective.name, " has no Medusa heads"));
  }
  const auto o = SettingsOf<MedusaSettings>(job.config.objective);
  TL_RETURN_IF_ERROR(RefuseTrunkOnly(job, format));
  const std::string trunk_unembedding =
      job.config.model.tie_embeddings ? "embedding.weight" : "lm_head.weight";
  std::vector<TensorPlacement> placements;
  for (const SourceTensor& tensor : job.source->tensors()) {
    TensorPlacement placement{.source = tensor.name, .shape = tensor.shape, .dtype = job.dtype};
    if (const auto parsed = Parse(tensor.name)) {
      placement.target = TargetName(layout, o, *parsed);
      placements.push_back(std::move(placement));
    } else if (!o.own_unembedding && tensor.name == trunk_unembedding) {
      placement.note = "the trunk's unembedding, which the heads share";
      const int64_t copies = layout == Layout::kVllm ? 1 : o.heads;
      for (int64_t head = 0; head < copies; ++head) {
        placement.target = UnembeddingName(layout, o, head);
        placements.push_back(placement);
      }
    } else {
      placement.note = absl::StrCat("left out: format ", format,
                                    " holds the heads; --format hf --trunk-only writes the trunk");
      placements.push_back(std::move(placement));
    }
  }
  const std::string stem = layout == Layout::kVllm ? "model" : "medusa_lm_head";
  TL_RETURN_IF_ERROR(WriteShards(*job.source, out, stem, INT64_MAX, placements));
  TL_RETURN_IF_ERROR(out.WriteText("config.json", MedusaConfig(job, layout)));
  if (layout == Layout::kVllm) TL_RETURN_IF_ERROR(WriteHuggingFaceSides(job, out));
  return placements;
}

}  // namespace

absl::StatusOr<std::vector<TensorPlacement>> WriteMedusa(const ExportJob& job,
                                                         const OutputFolder& out) {
  return Write(job, out, Layout::kVllm);
}

absl::StatusOr<std::vector<TensorPlacement>> WriteMedusaOriginal(const ExportJob& job,
                                                                 const OutputFolder& out) {
  return Write(job, out, Layout::kOriginal);
}

}  // namespace tl
