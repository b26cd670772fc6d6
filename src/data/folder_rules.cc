// SPDX-License-Identifier: Apache-2.0
#include "data/folder_rules.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/json_parts.h"

namespace tl {
namespace {

using internal::Get;
using internal::Json;
using Files = std::map<std::string, std::string>;

// Tokenizers of transformers that add the begin token unless they are told not to.
constexpr const char* kBeginClasses[] = {"LlamaTokenizer",     "LlamaTokenizerFast",
                                         "CodeLlamaTokenizer", "CodeLlamaTokenizerFast",
                                         "GemmaTokenizer",     "GemmaTokenizerFast"};
// And those of a model_type in folders with tokenizer.model alone, without tokenizer_config.json.
constexpr const char* kBeginModels[] = {"llama", "mistral"};

// Sequences of processors within each other.
constexpr int kMostNested = 8;

template <typename Names, typename Name>
bool IsAmong(const Names& names, const Name& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }

class Folder {
 public:
  Folder(const Files& files, const TokenNames& names, const std::string& folder)
      : names_(names), files_(files), folder_(folder) {}

  absl::Status Parse() {
    for (auto [json, name] : {std::pair{&config_, "config.json"},
                              {&generation_, "generation_config.json"},
                              {&tokenizer_config_, "tokenizer_config.json"},
                              {&special_, "special_tokens_map.json"}}) {
      const auto file = files_.find(name);
      if (file == files_.end()) continue;
      TL_ASSIGN_OR_RETURN(*json, ParsePythonJson(file->second, Path(name)));
      if (!json->is_object())
        return absl::InvalidArgumentError(Path(name) + ": expected a JSON object");
    }
    // The tokenizer has been made of it: what is wrong with it has been told.
    if (const auto file = files_.find("tokenizer.json"); file != files_.end())
      tokenizer_ = Json::parse(file->second, nullptr, /*allow_exceptions=*/false);
    return absl::OkStatus();
  }

  absl::StatusOr<TextRules> Rules(int32_t usual_end) {
    TextRules rules;
    TL_RETURN_IF_ERROR(Ends(&rules.ends));
    if (rules.ends.empty() && usual_end >= 0) rules.ends = {usual_end};
    TL_ASSIGN_OR_RETURN(rules.begin, One("bos_token", "bos_token_id"));
    TL_ASSIGN_OR_RETURN(rules.pad, One("pad_token", "pad_token_id"));
    rules.unknown = Named("unk_token");
    TL_RETURN_IF_ERROR(Begin(&rules));
    const Json& context = Get(config_, "max_position_embeddings");
    if (context.is_number_unsigned() && context <= INT32_MAX)
      rules.context_length = context.get<int64_t>();
    return rules;
  }

 private:
  std::string Path(const char* name) const { return absl::StrCat(folder_, "/", name); }

  // The token that a key names, by its text or as an object with its text; -1: none.
  int32_t Named(const char* key) const {
    for (const Json* json : {&tokenizer_config_, &special_}) {
      const Json& value = Get(*json, key);
      const std::string name = Text(value.is_object() ? Get(value, "content") : value);
      const int32_t id = name.empty() ? -1 : names_.Find(name);
      if (id >= 0) return id;
    }
    return -1;
  }

  // A number or a list of them; null and negative numbers are none.
  absl::StatusOr<std::vector<int32_t>> Numbers(const Json& root, const char* file,
                                               const char* key) const {
    const Json& value = Get(root, key);
    std::vector<int32_t> ids;
    for (const Json& id : value.is_array() ? value : Json::array({value})) {
      if (id.is_null() || (id.is_number_integer() && id < 0)) continue;
      if (!id.is_number_unsigned() || id > INT32_MAX) {
        return absl::InvalidArgumentError(
            absl::StrCat(Path(file), ": \"", key, "\": expected a token's number or a list of them",
                         ", found ", Shortened(value.dump(), 200)));
      }
      ids.push_back(id.get<int32_t>());
    }
    return ids;
  }

  absl::Status Ends(std::vector<int32_t>* ends) const {
    const auto add = [ends](int32_t id) {
      if (id >= 0 && !IsAmong(*ends, id)) ends->push_back(id);
    };
    add(Named("eos_token"));
    for (auto [json, file] :
         {std::pair{&config_, "config.json"}, {&generation_, "generation_config.json"}}) {
      TL_ASSIGN_OR_RETURN(const auto ids, Numbers(*json, file, "eos_token_id"));
      for (const int32_t id : ids) add(id);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int32_t> One(const char* name, const char* number) const {
    const int32_t named = Named(name);
    if (named >= 0) return named;
    for (auto [json, file] :
         {std::pair{&config_, "config.json"}, {&generation_, "generation_config.json"}}) {
      TL_ASSIGN_OR_RETURN(const auto ids, Numbers(*json, file, number));
      if (!ids.empty()) return ids[0];
    }
    return -1;
  }

  // The tokens that tokenizer.json puts before a text; *found: whether it has a template.
  absl::StatusOr<std::vector<int32_t>> TokensBefore(const Json& processor, bool* found,
                                                    int depth = 0) const {
    std::vector<int32_t> ids;
    const std::string type = Text(Get(processor, "type"));
    if (type == "Sequence" && depth < kMostNested) {
      for (const Json& part : Get(processor, "processors")) {
        TL_ASSIGN_OR_RETURN(const auto more, TokensBefore(part, found, depth + 1));
        ids.insert(ids.begin(), more.begin(), more.end());
      }
    }
    if (type != "TemplateProcessing") return ids;
    *found = true;
    for (const Json& piece : Get(processor, "single")) {
      const Json& special = Get(piece, "SpecialToken");
      if (!special.is_object()) break;
      const Json& token = Get(Get(processor, "special_tokens"), Text(Get(special, "id")).c_str());
      TL_ASSIGN_OR_RETURN(const auto more, Numbers(token, "tokenizer.json: post_processor", "ids"));
      ids.insert(ids.end(), more.begin(), more.end());
    }
    return ids;
  }

  absl::Status Begin(TextRules* rules) const {
    bool has_template = false;
    TL_ASSIGN_OR_RETURN(const auto before,
                        TokensBefore(Get(tokenizer_, "post_processor"), &has_template));
    if (before.size() > 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          Path("tokenizer.json"), ": post_processor: expected at most one token before a text, ",
          "found ", before.size()));
    }
    const Json& told = Get(tokenizer_config_, "add_bos_token");
    if (told.is_boolean()) {
      rules->adds_begin = told.get<bool>();
    } else if (has_template) {
      rules->adds_begin = !before.empty();
    } else if (tokenizer_config_.is_object()) {
      rules->adds_begin = IsAmong(kBeginClasses, Text(Get(tokenizer_config_, "tokenizer_class")));
    } else {
      rules->adds_begin =
          tokenizer_.is_null() && IsAmong(kBeginModels, Text(Get(config_, "model_type")));
    }
    if (rules->adds_begin && !before.empty()) rules->begin = before[0];
    rules->adds_begin &= rules->begin >= 0;
    return absl::OkStatus();
  }

  const TokenNames& names_;
  const Files& files_;
  const std::string& folder_;
  Json config_, generation_, tokenizer_config_, special_, tokenizer_;
};

}  // namespace

absl::StatusOr<TextRules> ReadFolderRules(const Files& files, const TokenNames& names,
                                          int32_t usual_end, const std::string& folder) {
  Folder reader(files, names, folder);
  TL_RETURN_IF_ERROR(reader.Parse());
  return reader.Rules(usual_end);
}

std::string ChatTemplate(const Files& files) {
  const auto file = files.find("chat_template.jinja");
  if (file != files.end()) return file->second;
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    const auto config = files.find(name);
    if (config == files.end()) continue;
    const auto json = ParsePythonJson(config->second, name);
    if (!json.ok() || !json->is_object()) continue;
    const Json& value = Get(*json, "chat_template");
    if (value.is_string()) return value.get<std::string>();
    if (!value.is_array()) continue;
    for (const Json& named : value) {  // several by name
      if (Text(Get(named, "name")) == "default") return Text(Get(named, "template"));
    }
  }
  return "";
}

}  // namespace tl
