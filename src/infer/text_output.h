// A sequence's text as it comes: held back while it may turn out to be a stop string, cut before
// one.
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
  // All of it that is certain, or, at the end, all.
  void Finish() { certain_ = text_.size(); }
  const std::string& text() const { return text_; }
  // What has become certain since the last call.
  std::string Take();

 private:
  std::vector<std::string> stops_;
  std::string text_;
  size_t certain_ = 0, taken_ = 0;
};

}  // namespace tl
