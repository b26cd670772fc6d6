// SPDX-License-Identifier: Apache-2.0
// --weights of the commands that run or hand over a trained model.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "checkpoint/load.h"
#include "cli/arguments.h"

namespace tl {

void AddWeightsOption(Arguments& arguments, std::string* weights);
// What it asks for; the average where one is kept, if it was not given.
absl::StatusOr<WhichWeights> ParseWhichWeights(const std::string& weights);

}  // namespace tl
