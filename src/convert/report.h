// SPDX-License-Identifier: Apache-2.0
// Where every tensor of a conversion went.
#pragma once

#include <string>
#include <vector>

#include "convert/weights.h"

namespace tl {

inline constexpr char kReportFile[] = "trunkline_report.json";

// An object for each tensor of the source: where it went, or why it was left out; and for each that
// was made up, with source null.
std::string ReportJson(const std::string& format, const std::vector<TensorPlacement>& placements);

// For people: how many tensors went into which file, then the first few of those that were left
// out, changed or made up, by reason.
std::string ReportText(const std::vector<TensorPlacement>& placements);

}  // namespace tl
