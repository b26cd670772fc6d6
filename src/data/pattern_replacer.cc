// SPDX-License-Identifier: Apache-2.0
#include "data/pattern_replacer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tl::internal {

absl::StatusOr<PatternReplacer> PatternReplacer::Make(const char* kind, const Json& part) {
  PatternReplacer replacer;
  TL_RETURN_IF_ERROR(GetString(part, "content", &replacer.content_));
  const Json& literal = Get(Get(part, "pattern"), "String");
  const Json& regex = Get(Get(part, "pattern"), "Regex");
  if (literal.is_string() && !literal.get_ref<const std::string&>().empty()) {
    replacer.literal_ = literal.get<std::string>();
    return replacer;
  }
  if (!regex.is_string()) return UnsupportedPart(kind, part);
  TL_ASSIGN_OR_RETURN(SplitStage pattern,
                      SplitStage::Make(regex.get<std::string>(), /*literal=*/false,
                                       SplitStage::Behavior::kIsolated));
  replacer.pattern_ = std::make_shared<const SplitStage>(std::move(pattern));
  return replacer;
}

absl::Status PatternReplacer::ForEachMatch(absl::string_view text,
                                           absl::FunctionRef<void(size_t, size_t)> match) const {
  // In an empty text tokenizers finds nothing, not even a match of nothing.
  if (text.empty()) return absl::OkStatus();
  if (pattern_ != nullptr) return pattern_->ForEachMatch(text, match);
  for (size_t at = 0; (at = text.find(literal_, at)) != absl::string_view::npos;
       at += literal_.size())
    match(at, at + literal_.size());
  return absl::OkStatus();
}

absl::Status PatternReplacer::Apply(absl::string_view text, std::string* out) const {
  size_t done = 0;
  TL_RETURN_IF_ERROR(ForEachMatch(text, [&](size_t begin, size_t end) {
    absl::StrAppend(out, text.substr(done, begin - done), content_);
    done = end;
  }));
  absl::StrAppend(out, text.substr(done));
  return absl::OkStatus();
}

absl::StatusOr<size_t> PatternReplacer::ComeFromFirst(size_t count, absl::string_view text) const {
  size_t done = 0, come = 0;
  TL_RETURN_IF_ERROR(ForEachMatch(text, [&](size_t begin, size_t end) {
    if (done < count) come += std::min(begin, count) - done;
    if (end <= count) come += content_.size();
    done = end;
  }));
  return done < count ? come + count - done : come;
}

}  // namespace tl::internal
