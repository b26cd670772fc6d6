// tokenizers' Replace, a normalizer and a decoder.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/bpe_split.h"
#include "data/json_parts.h"

namespace tl::internal {

class PatternReplacer {
 public:
  // part: {"type": "Replace", "pattern": {"String": …} or {"Regex": …}, "content": …}. kind: what
  // it is, for messages.
  static absl::StatusOr<PatternReplacer> Make(const char* kind, const Json& part);

  // Appends text with each match replaced.
  absl::Status Apply(absl::string_view text, std::string* out) const;

  // The string that is replaced; empty for a pattern.
  absl::string_view literal() const { return literal_; }
  absl::string_view content() const { return content_; }

 private:
  std::string literal_, content_;
  std::shared_ptr<const SplitStage> pattern_;
};

}  // namespace tl::internal
