// SPDX-License-Identifier: Apache-2.0
#include "train/colours.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace tl {
namespace {

constexpr char kPlain[] = "\033[0m", kBold[] = "\033[1m", kFaint[] = "\033[2m",
               kRed[] = "\033[1;31m", kYellow[] = "\033[33m", kCyan[] = "\033[36m";

constexpr std::array<absl::string_view, 13> kLabels = {
    "step",   "loss", "lr", "norm", "ms",  "tok/s",    "samples/s",
    "accept", "tau",  "of", "roof", "ETA", "bits/byte"};

const char* ColourOf(absl::string_view word, absl::string_view before) {
  if (word == "nan" || word == "inf") return kRed;
  if (word == "skipped,") return kYellow;
  if (word == "eval") return kCyan;
  if (before == "loss") return kBold;
  return std::find(kLabels.begin(), kLabels.end(), word) != kLabels.end() ? kFaint : nullptr;
}

}  // namespace

std::string Coloured(absl::string_view line) {
  std::string out;
  absl::string_view before;
  while (!line.empty()) {
    const size_t blanks = std::min(line.find_first_not_of(' '), line.size());
    absl::StrAppend(&out, line.substr(0, blanks));
    line.remove_prefix(blanks);
    const absl::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size());
    const char* colour = ColourOf(word, before);
    if (colour == nullptr) {
      absl::StrAppend(&out, word);
    } else {
      absl::StrAppend(&out, colour, word, kPlain);
    }
    before = word;
  }
  return out;
}

}  // namespace tl
