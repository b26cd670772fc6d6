// SPDX-License-Identifier: Apache-2.0
#include "data/token_model.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace tl::internal {

absl::StatusOr<std::unique_ptr<TokenModel>> MakeTokenModel(const Json& model, bool bytes) {
  if (!model.is_object()) return BadPart("model", "an object", model);
  std::string type = TypeOf(model);
  // Older files leave it out.
  if (type.empty()) type = Get(model, "vocab").is_array() ? "Unigram" : "BPE";
  if (type == "BPE") return MakeBpeModel(model, bytes);
  if (type == "Unigram" && !bytes) return MakeUnigramModel(model);
  return absl::UnimplementedError(
      absl::StrFormat("model type '%s'%s is not supported (expected BPE or Unigram)", type,
                      bytes && type == "Unigram" ? " behind a pre_tokenizer ByteLevel" : ""));
}

bool IsMergesVersion(const Json& merge) {
  return merge.is_string() && absl::StartsWith(merge.get_ref<const std::string&>(), "#version");
}

std::string ByteTokenName(int byte) { return absl::StrFormat("<0x%02X>", byte); }

int ByteOfToken(absl::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  absl::string_view digits = token.substr(3, 2);
  if (digits[0] == '+') digits.remove_prefix(1);  // as Rust reads numbers
  int value = 0;
  for (char c : digits) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
    const int digit = absl::ascii_isdigit(static_cast<unsigned char>(c))
                          ? c - '0'
                          : absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace tl::internal
