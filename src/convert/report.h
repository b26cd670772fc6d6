// Where every tensor of a conversion went.
#pragma once

#include <string>
#include <vector>

#include "convert/weights.h"

namespace tl {

inline constexpr char kReportFile[] = "trunkline_report.json";

// An object for each tensor of the source: where it went, or why it was left out.
std::string ReportJson(const std::string& format, const std::vector<TensorPlacement>& placements);

// For people: how many tensors went into which file, then a line for each that was left out or
// changed.
std::string ReportText(const std::vector<TensorPlacement>& placements);

}  // namespace tl
