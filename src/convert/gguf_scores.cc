// SPDX-License-Identifier: Apache-2.0
#include "convert/gguf_scores.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/characters.h"
#include "data/json_parts.h"
#include "data/token_model.h"

namespace tl {
namespace {

using internal::Flag;
using internal::Json;
using internal::kSpaceSign;
using internal::TypeOf;

bool ReplacesSpaces(const Json& part) {
  return TypeOf(part) == "Replace" && part["content"] == kSpaceSign &&
         part["pattern"] == Json{{"String", " "}};
}

std::pair<std::string, std::string> PairOf(const Json& merge) {
  if (merge.is_array()) return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  const auto text = merge.get<std::string>();
  const size_t space = text.find(' ');
  return {text.substr(0, space), text.substr(space + 1)};
}

}  // namespace

absl::StatusOr<bool> SpacePrefixForLlama(const Json& root) {
  const Json normalizer = root.value("normalizer", Json()),
             pre = root.value("pre_tokenizer", Json());
  // After the normalizer no space is left to split at.
  const bool plain =
      pre.is_null() || (TypeOf(pre) == "Split" && pre["pattern"] == Json{{"String", " "}});
  if (plain && ReplacesSpaces(normalizer)) return false;
  if (plain && TypeOf(normalizer) == "Sequence") {
    const Json& steps = normalizer["normalizers"];
    if (steps.size() == 2 && TypeOf(steps[0]) == "Prepend" && steps[0]["prepend"] == kSpaceSign &&
        ReplacesSpaces(steps[1]))
      return true;
  }
  if (normalizer.is_null() && TypeOf(pre) == "Metaspace" && pre["replacement"] == kSpaceSign &&
      !Flag(pre, "split", true)) {
    TL_ASSIGN_OR_RETURN(const std::string scheme, internal::PrependScheme(pre));
    const bool prefix = scheme != "never";
    if (prefix) {
      LogWarning(
          "format gguf: llama.cpp puts a space before a text that begins with one, and behind each "
          "special token, which this tokenizer.json's Metaspace does not");
    }
    return prefix;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "format gguf: llama.cpp has no tokenizer that does what normalizer ",
      Shortened(normalizer.dump(), 200), " and pre_tokenizer ", Shortened(pre.dump(), 200),
      " do; expected spaces replaced by U+2581, with one before every text or before none"));
}

absl::StatusOr<std::vector<float>> ScoresOfMerges(const Json& model, int64_t vocab) {
  std::vector<float> scores(static_cast<size_t>(vocab), -1e9f);
  const Json& ids = model["vocab"];
  std::set<std::pair<std::string, std::string>> pairs;
  std::string last;
  std::set<std::string> made;
  for (const Json& merge : model["merges"]) {
    if (internal::IsMergesVersion(merge)) continue;
    auto pair = PairOf(merge);
    const std::string token = pair.first + pair.second;
    if (token != last && !made.insert(token).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "format gguf: llama.cpp merges by one score for each token, but model.merges makes '",
          token, "' in several places"));
    }
    scores[ids[token].get<size_t>()] = -static_cast<float>(made.size() - 1);
    pairs.insert(std::move(pair));
    last = token;
  }
  for (const auto& [token, id] : ids.items()) {
    if (token.substr(0, 3) == "<0x") continue;
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const std::string left = token.substr(0, cut), right = token.substr(cut);
      if (!ids.contains(left) || !ids.contains(right) || pairs.contains({left, right})) continue;
      return absl::InvalidArgumentError(absl::StrCat("format gguf: llama.cpp would make '", token,
                                                     "' of '", left, "' and '", right,
                                                     "', which model.merges does not"));
    }
  }
  return scores;
}

}  // namespace tl
