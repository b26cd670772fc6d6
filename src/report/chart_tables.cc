// SPDX-License-Identifier: Apache-2.0
#include "report/chart_tables.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "report/escape.h"

namespace tl {
namespace {

constexpr int kRows = 12;

struct Summary {
  size_t first, last, lowest, highest;
  int64_t nulls = 0;
};

// The curve has a point.
Summary Summarize(const std::vector<float>& values) {
  const size_t none = values.size();
  Summary s{none, none, none, none};
  for (size_t i = 0; i < values.size(); ++i) {
    s.nulls += std::isinf(values[i]) ? 1 : 0;
    if (!std::isfinite(values[i])) continue;
    if (s.first == none) s.first = s.lowest = s.highest = i;
    s.last = i;
    if (values[i] < values[s.lowest]) s.lowest = i;
    if (values[i] > values[s.highest]) s.highest = i;
  }
  return s;
}

std::string Cell(const std::string& text) { return absl::StrCat("<td>", text, "</td>"); }

// The last value of a curve in (low, high]; empty where there is none.
std::string LastWithin(const Curve& curve, double low, double high, Unit unit) {
  const std::vector<double>& tokens = curve.table->tokens;
  auto it = std::upper_bound(tokens.begin(), tokens.end(), high);
  for (; it != tokens.begin() && *(it - 1) > low; --it) {
    const float value = (*curve.values)[static_cast<size_t>(it - 1 - tokens.begin())];
    if (!std::isnan(value)) return NumberText(value, unit);
  }
  return "";
}

}  // namespace

std::string SummaryTable(const Chart& chart) {
  std::string rows;
  bool faults = false;
  for (const Curve& curve : chart.curves)
    faults = faults || (chart.null_is_fault && Summarize(*curve.values).nulls > 0);
  for (const Curve& curve : chart.curves) {
    const std::vector<float>& values = *curve.values;
    const Summary s = Summarize(values);
    const auto at = [&](size_t row) {
      return absl::StrCat("<td>", NumberText(values[row], chart.unit), " <small>@ ",
                          curve.table->steps[row], "</small></td>");
    };
    absl::StrAppendFormat(&rows, "<tr><th scope=\"row\" class=\"c%d\"><i></i>%s</th>",
                          curve.colour % kColours, Escaped(curve.name));
    absl::StrAppend(&rows, Cell(NumberText(values[s.first], chart.unit)),
                    Cell(absl::StrCat("<b>", NumberText(values[s.last], chart.unit), "</b>")),
                    at(s.lowest), at(s.highest), faults ? Cell(absl::StrCat(s.nulls)) : "",
                    "</tr>");
  }
  return absl::StrCat(
      "<div class=\"scroll\"><table class=\"numbers\"><thead><tr><th></th><th>first</th>"
      "<th>last</th><th>lowest <small>@ step</small></th><th>highest <small>@ step</small></th>",
      faults ? "<th>no number</th>" : "", "</tr></thead><tbody>", rows, "</tbody></table></div>");
}

std::string ValuesTable(const Chart& chart) {
  double most = 0.0;
  for (const Curve& curve : chart.curves)
    if (!curve.table->tokens.empty()) most = std::max(most, curve.table->tokens.back());
  std::string head, rows;
  for (const Curve& curve : chart.curves)
    absl::StrAppendFormat(&head, "<th class=\"c%d\"><i></i>%s</th>", curve.colour % kColours,
                          Escaped(curve.name));
  for (int row = 0; row < kRows; ++row) {
    const double low = row == 0 ? -1.0 : most * row / kRows, high = most * (row + 1) / kRows;
    std::string cells;
    bool any = false;
    for (const Curve& curve : chart.curves) {
      const std::string value = LastWithin(curve, low, high, chart.unit);
      any = any || !value.empty();
      absl::StrAppend(&cells, Cell(value));
    }
    if (any)
      absl::StrAppend(&rows, "<tr><th scope=\"row\">", NumberText(high, Unit::kCount), "</th>",
                      cells, "</tr>");
  }
  return absl::StrCat(
      "<details><summary>Values along the way</summary><div class=\"scroll\"><table "
      "class=\"numbers\"><thead><tr><th>tokens, up to</th>",
      head, "</tr></thead><tbody>", rows, "</tbody></table></div></details>");
}

}  // namespace tl
