// SPDX-License-Identifier: Apache-2.0
// A sequence's text as it comes: held back while it may turn out to be a stop string, or is part of
// a character; cut before a stop string.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tl {

class TextOutput {
 public:
  explicit TextOutput(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Adds what a token stands for; true where the text is now complete: a stop string ended in it.
  bool Append(absl::string_view piece);
  // Says that nothing follows: all of it is certain.
  void Finish();
  const std::string& text() const { return text_; }
  // What has become certain since the last call: whole UTF-8 characters, and bytes that are part of
  // none. Makes up text(), piece by piece, once it is finished.
  std::string Take();

 private:
  std::vector<std::string> stops_;
  std::string text_;
  size_t certain_ = 0, taken_ = 0;
};

}  // namespace tl
