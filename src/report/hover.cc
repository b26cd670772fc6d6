// SPDX-License-Identifier: Apache-2.0
#include "report/hover.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "report/escape.h"

namespace tl {
namespace {

constexpr int kColumns = 50;
constexpr size_t kMostRows = 12;

}  // namespace

size_t NearestRow(const std::vector<double>& rows, double x, double within) {
  const auto after = std::lower_bound(rows.begin(), rows.end(), x);
  auto nearest = after;
  if (after == rows.end() || (after != rows.begin() && x - *(after - 1) < *after - x)) {
    if (after == rows.begin()) return rows.size();
    nearest = after - 1;
  }
  return std::abs(*nearest - x) <= within ? static_cast<size_t>(nearest - rows.begin())
                                          : rows.size();
}

std::string HoverHtml(const Chart& chart, const PlotAxis& x, Over over) {
  std::string html;
  const double width = (x.high() - x.low()) / kColumns;
  for (int i = 0; i < kColumns; ++i) {
    const double middle = x.low() + (i + 0.5) * width;
    std::string rows, where;
    size_t count = 0;
    for (const Curve& curve : chart.curves) {
      const size_t row = NearestRow(XOf(curve, over), middle, 0.5 * width);
      if (row == curve.table->rows() || std::isnan((*curve.values)[row])) continue;
      if (++count > kMostRows) break;
      if (where.empty())
        where = absl::StrCat("step ", curve.table->steps[row], " · ",
                             NumberText(curve.table->tokens[row], Unit::kCount), " tokens · ",
                             NumberText(curve.table->seconds[row], Unit::kSeconds));
      absl::StrAppendFormat(&rows, "<span class=\"c%d\"><b>%s</b> %s</span>",
                            curve.colour % kColours, NumberText((*curve.values)[row], chart.unit),
                            Escaped(curve.name));
    }
    if (rows.empty()) continue;
    absl::StrAppendFormat(&html,
                          "<div class=\"col\" style=\"left:%d%%\"><div class=\"tip%s\">%s%s"
                          "</div></div>",
                          i * 100 / kColumns, i >= kColumns / 2 ? " left" : "",
                          absl::StrCat("<em>", where, "</em>"), rows);
  }
  return html;
}

}  // namespace tl
