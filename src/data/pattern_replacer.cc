#include "data/pattern_replacer.h"

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

absl::Status PatternReplacer::Apply(absl::string_view text, std::string* out) const {
  size_t done = 0;
  const auto replace = [&](size_t begin, size_t end) {
    absl::StrAppend(out, text.substr(done, begin - done), content_);
    done = end;
  };
  if (pattern_ != nullptr) {
    TL_RETURN_IF_ERROR(pattern_->ForEachMatch(text, replace));
  } else {
    for (size_t at; (at = text.find(literal_, done)) != absl::string_view::npos;)
      replace(at, at + literal_.size());
  }
  absl::StrAppend(out, text.substr(done));
  return absl::OkStatus();
}

}  // namespace tl::internal
