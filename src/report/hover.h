// SPDX-License-Identifier: Apache-2.0
// The numbers under the pointer, without a script: columns over a plot, each with its text.
#pragma once

#include <string>

#include "report/chart.h"

namespace tl {

// The row of a table that is nearest to x, within `within` of it; the number of rows where none is.
size_t NearestRow(const std::vector<double>& rows, double x, double within);

std::string HoverHtml(const Chart& chart, const PlotAxis& x, Over over);

}  // namespace tl
