// SPDX-License-Identifier: Apache-2.0
#include "cli/which_weights.h"

#include "absl/strings/str_cat.h"

namespace tl {
namespace {

constexpr char kOption[] = "--weights", kTrained[] = "trained", kAverage[] = "ema";

}  // namespace

void AddWeightsOption(Arguments& arguments, std::string* weights) {
  arguments
      .Option(kOption, weights,
              absl::StrCat(kAverage, " (their average) or ", kTrained, "; by default ", kAverage,
                           " where the training kept it"))
      .Words(kOption, {kAverage, kTrained});
}

absl::StatusOr<WhichWeights> ParseWhichWeights(const std::string& weights) {
  if (weights.empty()) return WhichWeights::kAveragedIfThere;
  if (weights == kAverage) return WhichWeights::kAveraged;
  if (weights == kTrained) return WhichWeights::kTrained;
  return absl::InvalidArgumentError(
      absl::StrCat(kOption, " ", weights, ": expected ", kAverage, " or ", kTrained));
}

}  // namespace tl
