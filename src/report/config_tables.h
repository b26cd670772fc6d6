// SPDX-License-Identifier: Apache-2.0
// The configs of runs: all keys, and those that differ.
#pragma once

#include <string>

#include "absl/types/span.h"
#include "report/run.h"

namespace tl {

// The keys whose values are not the same in all runs; empty of one run.
std::string DifferencesHtml(absl::Span<const Run> runs);
// Every key of each run, to be opened; those that are not at their default stand out.
std::string ConfigsHtml(absl::Span<const Run> runs);

}  // namespace tl
