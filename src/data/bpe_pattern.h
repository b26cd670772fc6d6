// SPDX-License-Identifier: Apache-2.0
// Patterns of a tokenizer.json, which PCRE2 must read as Oniguruma does.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tl::internal {

// Writes a pattern of Hugging Face's tokenizers (Oniguruma's Ruby syntax over UTF-8) in PCRE2's
// syntax, with the same meaning: \s is Unicode's White_Space, which PCRE2's is not, and \p{Han} the
// script, not its extensions. What the two libraries read differently is refused by name, e.g. ^, a
// possessive {n,m}+, an optional {n}? or ss in (?i:, which matches a sharp s.
absl::StatusOr<std::string> TranslatePattern(absl::string_view pattern);

}  // namespace tl::internal
