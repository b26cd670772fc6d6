// SPDX-License-Identifier: Apache-2.0
// One plot: curves as SVG that stretches with the page, labels as text that does not.
#pragma once

#include <string>

#include "report/chart.h"

namespace tl {

inline constexpr int kPlotHeight = 220;   // pixels, whatever the width
inline constexpr int kPlotBuckets = 800;  // about the pixels of its width
inline constexpr int kMeanBuckets = 120;

// The axes that hold all points of the chart's curves.
PlotAxis XAxis(const Chart& chart, Over over);
PlotAxis YAxis(const Chart& chart);

// Each curve has a point.
std::string PlotHtml(const Chart& chart, Over over);

}  // namespace tl
