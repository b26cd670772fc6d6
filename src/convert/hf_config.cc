// SPDX-License-Identifier: Apache-2.0
#include "convert/hf_config.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"

namespace tl {
namespace {

using Json = nlohmann::json;

struct Architecture {
  const char* name;
  const char* type;  // model_type
  bool qkv_bias, qk_norm, window;
  int64_t default_kv_heads;  // where config.json does not say; 0: as many as heads
  int64_t default_head_dim;  // 0: hidden / heads
  int64_t default_window;
};
constexpr Architecture kArchitectures[] = {
    {"LlamaForCausalLM", "llama", false, false, false, 0, 0, 0},
    {"Qwen2ForCausalLM", "qwen2", true, false, false, 32, 0, 0},
    {"Qwen3ForCausalLM", "qwen3", false, true, false, 32, 128, 0},
    {"MistralForCausalLM", "mistral", false, false, true, 8, 0, 4096},
};

std::string ArchitectureNames() {
  return absl::StrJoin(kArchitectures, ", ", [](std::string* out, const Architecture& a) {
    absl::StrAppend(out, a.name);
  });
}

absl::StatusOr<const Architecture*> Find(const ModelConfig& m) {
  for (const Architecture& a : kArchitectures) {
    if (a.qkv_bias == m.qkv_bias && a.qk_norm == m.qk_norm && a.window == (m.sliding_window > 0))
      return &a;
  }
  std::vector<std::string> mix;
  if (m.qkv_bias) mix.push_back("qkv_bias (Qwen2's)");
  if (m.qk_norm) mix.push_back("qk_norm (Qwen3's)");
  if (m.sliding_window > 0) mix.push_back("sliding_window (Mistral's)");
  return absl::InvalidArgumentError(
      absl::StrCat("no architecture has ", absl::StrJoin(mix, " and "),
                   " together; those that can be written: ", ArchitectureNames()));
}

// Writes a value as the file has it, NaN too, on one line.
std::string AsWritten(const Json& value) {
  const std::string text = DumpPythonJson(value);
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  return absl::StrJoin(lines, " ", [](std::string* out, absl::string_view line) {
    absl::StrAppend(out, absl::StripLeadingAsciiWhitespace(line));
  });
}

// Reads the keys of one object; the first error stays.
class Reader {
 public:
  Reader(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  absl::Status status = absl::OkStatus();

  void Fail(const std::string& what) {
    if (status.ok()) status = absl::InvalidArgumentError(absl::StrCat(path_, ": ", what));
  }
  void Expected(const char* key, const std::string& expected) {
    Fail(absl::StrCat("\"", key, "\": expected ", expected, ", found ",
                      Has(key) ? Shortened(AsWritten(object_[key]), 200) : "nothing"));
  }
  // Whether the key is there and not null.
  bool Has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  int64_t Integer(const char* key) {
    if (!Has(key) || !object_[key].is_number_unsigned() || object_[key] > INT32_MAX) {
      Expected(key, "a whole number");
      return 0;
    }
    return object_[key].get<int64_t>();
  }
  int64_t Integer(const char* key, int64_t otherwise) {
    return Has(key) ? Integer(key) : otherwise;
  }
  double Number(const char* key) {
    if (!Has(key) || !object_[key].is_number()) {
      Expected(key, "a number");
      return 0.0;
    }
    return object_[key].get<double>();
  }
  double Number(const char* key, double otherwise) { return Has(key) ? Number(key) : otherwise; }
  bool Flag(const char* key, bool otherwise) {
    if (!Has(key)) return otherwise;
    if (!object_[key].is_boolean()) Expected(key, "true or false");
    return object_[key].is_boolean() && object_[key].get<bool>();
  }
  std::string Text(const char* key, const std::string& otherwise) {
    if (!Has(key)) return otherwise;
    if (!object_[key].is_string()) Expected(key, "a string");
    return object_[key].is_string() ? object_[key].get<std::string>() : otherwise;
  }

 private:
  const Json& object_;
  std::string path_;
};

// rope_parameters, or rope_theta and rope_scaling.
absl::Status ReadRope(const Json& root, const std::string& path, ModelConfig* model) {
  Reader top(root, path);
  model->rope_theta = top.Number("rope_theta", 10000.0);
  const char* key = top.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!top.Has(key)) return top.status;
  const Json& rope = root[key];
  if (!rope.is_object()) top.Expected(key, "an object");
  TL_RETURN_IF_ERROR(top.status);
  Reader reader(rope, absl::StrCat(path, ": ", key));
  model->rope_theta = reader.Number("rope_theta", model->rope_theta);
  const std::string type = reader.Text("rope_type", reader.Text("type", "default"));
  if (reader.Number("partial_rotary_factor", 1.0) != 1.0)
    reader.Expected("partial_rotary_factor", "1: every dimension of a head is rotated");
  if (type == "llama3") {
    RopeScaling& s = model->rope_scaling;
    s.factor = reader.Number("factor");
    s.low_freq_factor = reader.Number("low_freq_factor");
    s.high_freq_factor = reader.Number("high_freq_factor");
    s.original_context = reader.Integer("original_max_position_embeddings");
  } else if (type != "default") {
    reader.Fail(
        absl::StrCat("rope type \"", type, "\" is not supported; those that are: default, llama3"));
  }
  return reader.status;
}

std::optional<DType> TypeNamed(const std::string& name) {
  if (name == "float32") return DType::kF32;
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16") return DType::kF16;
  return std::nullopt;
}

const char* TorchName(DType dtype) {
  return dtype == DType::kBF16 ? "bfloat16" : dtype == DType::kF16 ? "float16" : "float32";
}

absl::StatusOr<const Architecture*> ReadArchitecture(const Json& root, const std::string& path) {
  std::string found = "nothing";
  const auto names = root.find("architectures"), type = root.find("model_type");
  const bool unnamed =
      names == root.end() || names->is_null() || (names->is_array() && names->empty());
  // transformers goes by the model_type.
  if (unnamed && type != root.end() && type->is_string()) {
    found = absl::StrCat("of model_type ", type->get<std::string>());
    for (const Architecture& a : kArchitectures) {
      if (*type == a.type) return &a;
    }
  }
  if (root.contains("architectures") && root["architectures"].is_array() &&
      root["architectures"].size() == 1 && root["architectures"][0].is_string())
    found = root["architectures"][0].get<std::string>();
  for (const Architecture& a : kArchitectures) {
    if (found == a.name) return &a;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": architecture ", Shortened(found, 200),
                   " is not supported; those that are: ", ArchitectureNames()));
}

// What transformers would do and the trunk does not.
void RefuseTheUnknown(const Architecture& a, Reader& reader) {
  if (reader.Has("quantization_config"))
    reader.Fail("\"quantization_config\": quantized weights are not supported");
  const std::string activation = reader.Text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") reader.Expected("hidden_act", "\"silu\"");
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    // Qwen2 has its biases without being told.
    if (reader.Flag(key, false)) reader.Expected(key, absl::StrCat("false in ", a.name));
  }
  if (a.qkv_bias || a.qk_norm) {
    if (reader.Flag("use_sliding_window", false))
      reader.Expected("use_sliding_window", absl::StrCat("false in ", a.name));
  }
}

}  // namespace

nlohmann::ordered_json TokensJson(std::vector<int32_t> tokens) {
  tokens.erase(std::remove(tokens.begin(), tokens.end(), -1), tokens.end());
  if (tokens.empty()) return nullptr;
  if (tokens.size() == 1) return tokens[0];
  return tokens;
}

absl::StatusOr<std::string> HfArchitecture(const ModelConfig& model) {
  TL_ASSIGN_OR_RETURN(const Architecture* a, Find(model));
  return std::string(a->name);
}

absl::StatusOr<std::string> WriteHfConfig(const HfConfig& config) {
  const ModelConfig& m = config.model;
  TL_ASSIGN_OR_RETURN(const Architecture* a, Find(m));
  nlohmann::ordered_json rope = {{"rope_type", "default"}, {"rope_theta", m.rope_theta}};
  nlohmann::ordered_json scaling = nullptr;
  if (m.rope_scaling.factor != 1.0) {
    const RopeScaling& s = m.rope_scaling;
    scaling = {{"rope_type", "llama3"},
               {"factor", s.factor},
               {"low_freq_factor", s.low_freq_factor},
               {"high_freq_factor", s.high_freq_factor},
               {"original_max_position_embeddings", s.original_context}};
    rope.update(scaling);
  }
  const DType dtype = config.dtype.value_or(DType::kF32);
  nlohmann::ordered_json root = {{"architectures", {a->name}},
                                 {"model_type", a->type},
                                 {"hidden_size", m.hidden},
                                 {"intermediate_size", m.ffn},
                                 {"num_hidden_layers", m.layers},
                                 {"num_attention_heads", m.heads},
                                 {"num_key_value_heads", m.kv_heads_or_default()},
                                 {"head_dim", m.head_dim_or_default()},
                                 {"vocab_size", m.vocab},
                                 {"max_position_embeddings", config.max_positions},
                                 {"hidden_act", "silu"},
                                 {"rms_norm_eps", m.norm_eps},
                                 {"initializer_range", m.init_std},
                                 {"attention_dropout", 0.0},
                                 {"tie_word_embeddings", m.tie_embeddings},
                                 {"rope_theta", m.rope_theta},
                                 {"rope_scaling", scaling},
                                 {"rope_parameters", rope},
                                 {"use_cache", true},
                                 // transformers fills in numbers of its own where these are missing
                                 {"bos_token_id", TokensJson({config.begin})},
                                 {"eos_token_id", TokensJson(config.ends)},
                                 {"pad_token_id", TokensJson({config.pad})},
                                 {"torch_dtype", TorchName(dtype)}};
  if (a->window) root["sliding_window"] = m.sliding_window;
  if (a->qkv_bias || a->qk_norm) {
    root["use_sliding_window"] = false;
  }
  if (!a->qkv_bias && !a->window) root["attention_bias"] = false;
  if (a->type == std::string("llama")) root["mlp_bias"] = false;
  return root.dump(2) + "\n";
}

absl::StatusOr<HfConfig> ParseHfConfig(const std::string& text, const std::string& path) {
  TL_ASSIGN_OR_RETURN(const Json root, ParsePythonJson(text, path));
  if (!root.is_object()) return absl::InvalidArgumentError(path + ": expected a JSON object");
  TL_ASSIGN_OR_RETURN(const Architecture* a, ReadArchitecture(root, path));
  Reader reader(root, path);
  RefuseTheUnknown(*a, reader);
  HfConfig config;
  ModelConfig& m = config.model;
  m.hidden = reader.Integer("hidden_size");
  m.ffn = reader.Integer("intermediate_size");
  m.layers = reader.Integer("num_hidden_layers");
  m.heads = reader.Integer("num_attention_heads");
  m.vocab = reader.Integer("vocab_size");
  m.norm_eps = reader.Number("rms_norm_eps");
  m.kv_heads = reader.Integer("num_key_value_heads",
                              root.contains("num_key_value_heads") || a->default_kv_heads == 0
                                  ? m.heads
                                  : a->default_kv_heads);
  m.head_dim = reader.Integer("head_dim", a->default_head_dim);
  m.tie_embeddings = reader.Flag("tie_word_embeddings", false);
  m.qkv_bias = a->qkv_bias;
  m.qk_norm = a->qk_norm;
  m.init_std = reader.Number("initializer_range", m.init_std);
  // null: none. Missing: the architecture's own.
  if (a->window) {
    m.sliding_window =
        reader.Integer("sliding_window", root.contains("sliding_window") ? 0 : a->default_window);
  }
  config.max_positions = reader.Integer("max_position_embeddings", 2048);
  config.dtype = TypeNamed(reader.Text("dtype", reader.Text("torch_dtype", "")));
  TL_RETURN_IF_ERROR(reader.status);
  TL_RETURN_IF_ERROR(ReadRope(root, path, &m));
  if (const absl::Status status = Validate(m); !status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": as ", status.message(),
                     "; the sizes of weights that are there cannot be changed: import a model "
                     "whose sizes fit"));
  }
  return config;
}

}  // namespace tl
