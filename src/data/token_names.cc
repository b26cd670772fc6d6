// SPDX-License-Identifier: Apache-2.0
#include "data/token_names.h"

#include "absl/strings/match.h"
#include "data/json_parts.h"
#include "data/sentencepiece_proto.h"

namespace tl {
namespace {

using internal::Get;
using internal::Json;
using Names = std::unordered_map<std::string, int32_t>;

void Add(const Json& name, const Json& id, Names* names) {
  if (name.is_string() && id.is_number_unsigned() && id <= INT32_MAX)
    names->insert_or_assign(name.get<std::string>(), id.get<int32_t>());
}

// Adds what a tokenizer.json names: the vocabulary, an object or, of a Unigram, a list of pieces
// with their scores; then the added tokens.
void AddJson(const Json& root, Names* names) {
  if (!root.is_object()) return;
  const Json& vocab = Get(Get(root, "model"), "vocab");
  if (vocab.is_object()) {
    for (const auto& [name, id] : vocab.items()) Add(name, id, names);
  } else if (vocab.is_array()) {
    for (size_t i = 0; i < vocab.size(); ++i) {
      if (vocab[i].is_array() && !vocab[i].empty()) Add(vocab[i][0], i, names);
    }
  }
  const Json& added = Get(root, "added_tokens");
  if (!added.is_array()) return;
  for (const Json& token : added) Add(Get(token, "content"), Get(token, "id"), names);
}

}  // namespace

TokenNames::TokenNames(const std::string& definition) {
  if (absl::StartsWith(definition, "{")) {
    AddJson(Json::parse(definition, nullptr, /*allow_exceptions=*/false), &ids_);
  } else if (!definition.empty()) {
    const auto proto = ParseSentencePieceProto(definition);
    for (size_t id = 0; proto.ok() && id < proto->pieces.size(); ++id)
      ids_.emplace(proto->pieces[id].text, static_cast<int32_t>(id));
  }
}

int32_t TokenNames::Find(const std::string& name) const {
  const auto it = ids_.find(name);
  return it == ids_.end() ? -1 : it->second;
}

std::string TokenNames::NameOf(int32_t id) const {
  for (const auto& [name, other] : ids_) {
    if (other == id) return name;
  }
  return "";
}

}  // namespace tl
