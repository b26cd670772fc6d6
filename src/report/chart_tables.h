// SPDX-License-Identifier: Apache-2.0
// The numbers of a figure, for those who read them rather than curves.
#pragma once

#include <string>

#include "report/chart.h"

namespace tl {

// First, last, lowest and highest value of each curve.
std::string SummaryTable(const Chart& chart);
// Values along the curves, at about a dozen places, to be opened.
std::string ValuesTable(const Chart& chart);

}  // namespace tl
