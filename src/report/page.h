// SPDX-License-Identifier: Apache-2.0
// The report of runs as one HTML file, which needs neither network nor scripts.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "report/run.h"

namespace tl {

// runs: one or more.
std::string PageHtml(absl::Span<const Run> runs);
// Whether a file that begins so is a report.
bool IsReport(absl::string_view begin);

// Reads the runs and writes their report to a new file, or in place of an older report: other files
// there are errors (FailedPrecondition).
absl::Status WriteReport(absl::Span<const std::string> run_dirs, const std::string& out);

}  // namespace tl
