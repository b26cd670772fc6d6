// SPDX-License-Identifier: Apache-2.0
#include "convert/text_files.h"

#include <algorithm>
#include <map>

#include "base/json.h"
#include "base/status.h"
#include "convert/hf_config.h"
#include "convert/hf_tokenizer.h"
#include "data/folder_rules.h"

namespace tl {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr char kConfig[] = "config.json";
constexpr char kGeneration[] = "generation_config.json";

bool IsImported(const ExportJob& job) { return job.text.files.contains(kConfig); }

// Whether the ends are others than those that the imported files say.
absl::StatusOr<bool> HasOtherEnds(const ModelText& text) {
  TL_ASSIGN_OR_RETURN(const TextRules rules,
                      ReadFolderRules(text.files, *text.tokenizer, "the imported folder"));
  return rules.ends != text.rules.ends;
}

// What the file itself would have made of it, with defaults filled in.
ModelConfig Explicit(ModelConfig model) {
  model.kv_heads = model.kv_heads_or_default();
  model.head_dim = model.head_dim_or_default();
  return model;
}

// What transformers would look for in files that are not here.
void DropCode(OrderedJson& root) { root.erase("auto_map"); }

// The imported config.json with the keys of `written` where they mean something else.
absl::StatusOr<OrderedJson> ChangedConfig(const ExportJob& job, const ModelConfig& model,
                                          const OrderedJson& written) {
  const std::string& text = job.text.files.at(kConfig);
  TL_ASSIGN_OR_RETURN(OrderedJson root, ParseOrderedPythonJson(text, kConfig));
  TL_ASSIGN_OR_RETURN(const HfConfig before, ParseHfConfig(text, kConfig));
  const bool same_model = Explicit(before.model) == Explicit(model);
  TL_ASSIGN_OR_RETURN(const bool other_ends, HasOtherEnds(job.text));
  for (const auto& [key, value] : written.items()) {
    const bool is_token = key == "bos_token_id" || key == "eos_token_id" || key == "pad_token_id";
    const bool changes = key == "eos_token_id"              ? other_ends
                         : is_token || key == "torch_dtype" ? false
                         : key == "max_position_embeddings" ? before.max_positions != value
                         : key == "architectures"           ? !root.contains(key)
                                                            : !same_model;
    if (changes) root[key] = value;
  }
  root[root.contains("dtype") ? "dtype" : "torch_dtype"] = written["torch_dtype"];
  DropCode(root);
  return root;
}

// Empty: the folder has none.
absl::StatusOr<std::string> GenerationFile(const ExportJob& job) {
  const TextRules& rules = job.text.rules;
  const auto file = job.text.files.find(kGeneration);
  if (file == job.text.files.end() && IsImported(job)) return std::string();
  OrderedJson root = {{"do_sample", true}, {"temperature", 1.0}};
  if (file != job.text.files.end()) {
    TL_ASSIGN_OR_RETURN(const bool other_ends, HasOtherEnds(job.text));
    if (!other_ends) return file->second;
    TL_ASSIGN_OR_RETURN(root, ParseOrderedPythonJson(file->second, kGeneration));
  } else {
    if (rules.begin >= 0) root["bos_token_id"] = rules.begin;
    if (rules.pad >= 0) root["pad_token_id"] = rules.pad;
  }
  if (!rules.ends.empty()) root["eos_token_id"] = TokensJson(rules.ends);
  return DumpPythonJson(root);
}

}  // namespace

int64_t ContextLength(const ExportJob& job) {
  return std::max(job.config.train.sequence_length, job.text.rules.context_length);
}

absl::StatusOr<std::string> ConfigFile(const ExportJob& job, const ModelConfig& model) {
  const TextRules& rules = job.text.rules;
  TL_ASSIGN_OR_RETURN(const std::string written, WriteHfConfig({.model = model,
                                                                .max_positions = ContextLength(job),
                                                                .dtype = job.dtype,
                                                                .ends = rules.ends,
                                                                .begin = rules.begin,
                                                                .pad = rules.pad}));
  if (!IsImported(job)) return written;
  TL_ASSIGN_OR_RETURN(const OrderedJson changed,
                      ChangedConfig(job, model, OrderedJson::parse(written)));
  return DumpPythonJson(changed);
}

absl::Status WriteHuggingFaceSides(const ExportJob& job, const OutputFolder& out) {
  std::map<std::string, std::string> files = job.text.files;
  if (!IsImported(job)) {
    TL_ASSIGN_OR_RETURN(
        files, HuggingFaceTokenizer(*job.text.tokenizer, job.text.rules, ContextLength(job)));
  }
  files.erase(kConfig);  // the format's own
  TL_ASSIGN_OR_RETURN(files[kGeneration], GenerationFile(job));
  for (const auto& [name, text] : files) {
    if (!text.empty()) TL_RETURN_IF_ERROR(out.WriteText(name, text));
  }
  return absl::OkStatus();
}

}  // namespace tl
