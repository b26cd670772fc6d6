// SPDX-License-Identifier: Apache-2.0
// The rules of texts as a Hugging Face folder tells them, all over its files.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "data/text_rules.h"
#include "data/token_names.h"
#include "data/tokenizer.h"

namespace tl {

// files: contents by name; folder is named in errors. Ends are, in this order and each once,
// eos_token of tokenizer_config.json (or special_tokens_map.json), eos_token_id of config.json and
// that of generation_config.json; where none says, the usual end, unless it is -1.
// The begin token is added where add_bos_token says so, else where the post_processor of
// tokenizer.json puts it before a text, else by the custom of the tokenizer's class.
absl::StatusOr<TextRules> ReadFolderRules(const std::map<std::string, std::string>& files,
                                          const TokenNames& names, int32_t usual_end,
                                          const std::string& folder);
absl::StatusOr<TextRules> ReadFolderRules(const std::map<std::string, std::string>& files,
                                          const Tokenizer& tokenizer, const std::string& folder);

// Finds the end of a document in a tokenizer that comes without a folder; -1: none.
int32_t UsualEnd(const Tokenizer& tokenizer);

// Finds the template by which a conversation becomes a prompt: chat_template.jinja, or the one of
// tokenizer_config.json or chat_template.json; empty: none.
std::string ChatTemplate(const std::map<std::string, std::string>& files);

}  // namespace tl
