// SPDX-License-Identifier: Apache-2.0
#include "report/chart.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "report/chart_tables.h"
#include "report/escape.h"
#include "report/plot.h"

namespace tl {
namespace {

bool HasPoints(const Curve& curve) {
  for (const float y : *curve.values) {
    if (std::isfinite(y)) return true;
  }
  return false;
}

// The title names a curve that is alone.
std::string LegendHtml(const Chart& chart) {
  std::string html = "<ul class=\"legend\">";
  for (const Curve& curve : chart.curves) {
    if (chart.curves.size() == 1) break;
    absl::StrAppendFormat(&html,
                          "<li class=\"c%d d%d\"><svg viewBox=\"0 0 22 8\" "
                          "aria-hidden=\"true\"><path d=\"M0 4h22\"/></svg>%s</li>",
                          curve.colour % kColours, curve.dash % kDashes, Escaped(curve.name));
  }
  bool used[4] = {};
  for (const Mark& mark : chart.marks) used[static_cast<size_t>(mark.kind)] = true;
  for (size_t i = 0; i < std::size(used); ++i) {
    if (used[i])
      absl::StrAppendFormat(&html, "<li class=\"m-%s\"><i></i>%s</li>",
                            Name(static_cast<MarkKind>(i)), Name(static_cast<MarkKind>(i)));
  }
  return html + "</ul>";
}

}  // namespace

const char* Name(MarkKind kind) {
  switch (kind) {
    case MarkKind::kSave:
      return "save";
    case MarkKind::kResume:
      return "resume";
    case MarkKind::kStop:
      return "stop";
    case MarkKind::kSkip:
      return "skip";
  }
  return "?";
}

std::string ChartHtml(const Chart& all) {
  Chart chart = all;
  std::erase_if(chart.curves, [](const Curve& curve) { return !HasPoints(curve); });
  if (chart.curves.empty()) return "";
  std::string html =
      absl::StrFormat("<figure id=\"%s\"><figcaption><h3>%s</h3><p>%s</p></figcaption>%s", chart.id,
                      Escaped(chart.title), Escaped(chart.about), LegendHtml(chart));
  for (const Over over : kOvers) absl::StrAppend(&html, PlotHtml(chart, over));
  return absl::StrCat(html, SummaryTable(chart), ValuesTable(chart), "</figure>\n");
}

}  // namespace tl
