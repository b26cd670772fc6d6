// SPDX-License-Identifier: Apache-2.0
// Which figures a report has, and which curves and marks each shows.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "report/chart.h"
#include "report/run.h"

namespace tl {

// Those with something to show, in the order of the page. They point into the runs. Of one run each
// curve has a colour; of several each run has one, and its curves differ in dashes.
std::vector<Chart> MakeFigures(absl::Span<const Run> runs);

// Saves, resumes and stops of a run, and steps that were skipped.
std::vector<Mark> MarksOf(const Run& run, int colour);

}  // namespace tl
