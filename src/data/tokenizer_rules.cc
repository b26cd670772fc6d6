// SPDX-License-Identifier: Apache-2.0
// What is asked of a tokenizer for the rules of its texts: apart from folder_rules.cc and
// token_names.cc, which read files alone.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "data/folder_rules.h"
#include "data/token_names.h"

namespace tl {
namespace {

// Names that end a document, the likeliest first.
constexpr const char* kUsualEnds[] = {
    "<|endoftext|>",         "<|end_of_text|>", "</s>",  "<eos>",
    "<｜end▁of▁sentence｜>", "[EOS]",           "[EOD]", "<|eos|>"};

}  // namespace

absl::StatusOr<TextRules> ReadFolderRules(const std::map<std::string, std::string>& files,
                                          const Tokenizer& tokenizer, const std::string& folder) {
  return ReadFolderRules(files, TokenNames(tokenizer.definition()), UsualEnd(tokenizer), folder);
}

int32_t UsualEnd(const Tokenizer& tokenizer) {
  if (tokenizer.end_id() >= 0) return tokenizer.end_id();
  const TokenNames names(tokenizer.definition());
  for (const char* name : kUsualEnds) {
    if (const int32_t id = names.Find(name); id >= 0) return id;
  }
  return -1;
}

std::string TokenText(const Tokenizer& tokenizer, int32_t id) {
  if (id < 0) return "";
  // Tokens that stand for no text have names too.
  const std::string text = tokenizer.TokenBytes(id);
  return text.empty() ? TokenNames(tokenizer.definition()).NameOf(id) : text;
}

std::string TokenName(const Tokenizer& tokenizer, int32_t id) {
  const std::string name = TokenText(tokenizer, id);
  return absl::StrCat(absl::Utf8SafeCHexEscape(name), name.empty() ? "token " : " (", id,
                      name.empty() ? "" : ")");
}

}  // namespace tl
