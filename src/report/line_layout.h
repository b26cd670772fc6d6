// SPDX-License-Identifier: Apache-2.0
// One line of metrics.jsonl: which of its numbers are of interest, and where. Lines of one training
// differ in their numbers alone, so that what was found in one is found in the next by comparing
// the text between them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tl {

// "eval_loss", "losses/token_2", "heads/token_2/alpha": the keys that lead to a number.
struct NumberAt {
  std::string key;
  double value = 0.0;  // infinity where it is null
};

// Every number and null of a JSON object of objects; texts, lists, true and false are passed over.
// None where the line is no object, or nests deeper than this program writes.
std::optional<std::vector<NumberAt>> ReadLine(absl::string_view line);

class LineLayout {
 public:
  // None where the line holds more than numbers and null.
  static std::optional<LineLayout> Of(absl::string_view line);
  // Reads the numbers of a line of this layout into values, as ReadLine has them; false where it is
  // of another. The line is followed by a byte that is part of no number.
  bool Read(absl::string_view line, std::vector<double>* values) const;

 private:
  std::vector<std::string> before_;  // each number
  std::string end_;
};

}  // namespace tl
