// SPDX-License-Identifier: Apache-2.0
#include "infer/text_output.h"

#include <algorithm>

#include "base/utf8.h"

namespace tl {

bool TextOutput::Append(absl::string_view piece) {
  // A stop string that ends in the piece may begin before it.
  size_t from = text_.size();
  for (const std::string& stop : stops_)
    from = std::min(from, text_.size() - std::min(text_.size(), stop.size()));
  text_.append(piece.data(), piece.size());
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) cut = std::min(cut, text_.find(stop, from));
  if (cut != std::string::npos) {
    text_.resize(cut);
    Finish();
    return true;
  }
  size_t held = 0;  // the longest end of the text that a stop string begins with
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size(), text_.size()); n > held; --n) {
      if (text_.compare(text_.size() - n, n, stop, 0, n) == 0) held = n;
    }
  }
  certain_ = text_.size() - held;
  certain_ -= IncompleteUtf8Suffix(absl::string_view(text_).substr(0, certain_));
  return false;
}

void TextOutput::Finish() { certain_ = text_.size(); }

std::string TextOutput::Take() {
  const std::string piece = text_.substr(taken_, certain_ - taken_);
  taken_ = certain_;
  return piece;
}

}  // namespace tl
