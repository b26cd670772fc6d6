// SPDX-License-Identifier: Apache-2.0
// What was trained, on what, and what came out of it, in words and numbers.
#pragma once

#include <string>

#include "absl/types/span.h"
#include "report/run.h"

namespace tl {

// "finished after step 400 of 400", "stopped by SIGTERM after step 137 of 400".
std::string OutcomeText(const Run& run);

// The last numbers of each run: tiles of one, a table of several.
std::string OutcomeHtml(absl::Span<const Run> runs);
// Model, objective, grid, machine, versions, data and its identity, schedule: a column per run.
std::string FactsHtml(absl::Span<const Run> runs);

}  // namespace tl
