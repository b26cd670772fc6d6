// SPDX-License-Identifier: Apache-2.0
#include "data/text_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"

namespace tl {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr char kFormat[] = "trunkline text rules";
constexpr int kVersion = 1;

OrderedJson IdOrNull(int32_t id) { return id < 0 ? OrderedJson(nullptr) : OrderedJson(id); }

class Reader {
 public:
  Reader(const nlohmann::json& root, const std::string& path) : root_(root), path_(path) {}
  absl::Status status = absl::OkStatus();

  void Expected(const char* key, const char* expected) {
    if (!status.ok()) return;
    const auto it = root_.find(key);
    status = absl::InvalidArgumentError(
        absl::StrCat(path_, ": \"", key, "\": expected ", expected, ", found ",
                     it == root_.end() ? "nothing" : it->dump().substr(0, 200)));
  }
  static bool IsId(const nlohmann::json& value) {
    return value.is_number_unsigned() && value.get<uint64_t>() <= INT32_MAX;
  }
  int32_t Id(const char* key) {
    const auto it = root_.find(key);
    if (it != root_.end() && it->is_null()) return -1;
    if (it != root_.end() && IsId(*it)) return it->get<int32_t>();
    Expected(key, "a token's number or null");
    return -1;
  }
  const nlohmann::json* Find(const char* key, bool (nlohmann::json::*is)() const noexcept,
                             const char* expected) {
    const auto it = root_.find(key);
    if (it != root_.end() && ((*it).*is)()) return &*it;
    Expected(key, expected);
    return nullptr;
  }

 private:
  const nlohmann::json& root_;
  const std::string& path_;
};

}  // namespace

bool TextRules::IsEnd(int32_t token) const {
  return std::find(ends.begin(), ends.end(), token) != ends.end();
}

std::string WriteTextRules(const TextRules& rules, const std::string& tokenizer) {
  const OrderedJson root = {{"format", kFormat},
                            {"version", kVersion},
                            {"tokenizer", tokenizer},
                            {"begin", IdOrNull(rules.begin)},
                            {"adds_begin", rules.adds_begin},
                            {"ends", rules.ends},
                            {"pad", IdOrNull(rules.pad)},
                            {"unknown", IdOrNull(rules.unknown)},
                            {"context_length", rules.context_length}};
  return root.dump(2) + "\n";
}

absl::StatusOr<TextRules> ParseTextRules(const std::string& text, const std::string& path,
                                         std::string* tokenizer) {
  TL_ASSIGN_OR_RETURN(const nlohmann::json root, ParseJson(text, path));
  if (!root.is_object() || root.value("format", nlohmann::json()) != kFormat)
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected ", kFormat));
  Reader reader(root, path);
  if (root.value("version", nlohmann::json()) != kVersion) reader.Expected("version", "1");
  tokenizer->clear();
  for (const char* known : {kBytesName, kTokenizerJson, kTokenizerModel}) {
    if (root.value("tokenizer", nlohmann::json()) == known) *tokenizer = known;
  }
  if (tokenizer->empty())
    reader.Expected("tokenizer", "\"bytes\", \"tokenizer.json\" or \"tokenizer.model\"");
  TextRules rules;
  rules.begin = reader.Id("begin");
  rules.pad = reader.Id("pad");
  rules.unknown = reader.Id("unknown");
  if (const auto* adds = reader.Find("adds_begin", &nlohmann::json::is_boolean, "true or false"))
    rules.adds_begin = adds->get<bool>();
  if (rules.adds_begin && rules.begin < 0) reader.Expected("begin", "a token's number");
  const auto* ends = reader.Find("ends", &nlohmann::json::is_array, "a list of tokens");
  for (size_t i = 0; ends != nullptr && i < ends->size(); ++i) {
    if (Reader::IsId((*ends)[i]))
      rules.ends.push_back((*ends)[i].get<int32_t>());
    else
      reader.Expected("ends", "a list of tokens");
  }
  const auto* context =
      reader.Find("context_length", &nlohmann::json::is_number_unsigned, "a number of tokens");
  if (context != nullptr && *context > INT32_MAX) reader.Expected("context_length", "fewer tokens");
  if (!reader.status.ok()) return reader.status;
  rules.context_length = context->get<int64_t>();
  return rules;
}

}  // namespace tl
