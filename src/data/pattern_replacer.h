// SPDX-License-Identifier: Apache-2.0
// tokenizers' Replace, a normalizer and a decoder.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
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

  // Counts the first bytes that Apply appends which come from the first `count` of text: tokenizers
  // takes a replacement to come from the last character that it stands for.
  absl::StatusOr<size_t> ComeFromFirst(size_t count, absl::string_view text) const;

  // The string that is replaced; empty for a pattern.
  absl::string_view literal() const { return literal_; }
  absl::string_view content() const { return content_; }

 private:
  // Calls match(begin, end) for each match, from the left.
  absl::Status ForEachMatch(absl::string_view text,
                            absl::FunctionRef<void(size_t, size_t)> match) const;

  std::string literal_, content_;
  std::shared_ptr<const SplitStage> pattern_;
};

}  // namespace tl::internal
