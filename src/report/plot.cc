// SPDX-License-Identifier: Apache-2.0
#include "report/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "report/escape.h"
#include "report/hover.h"
#include "report/thin.h"

namespace tl {
namespace {

// The size of the drawing in units of its own, which are whole numbers.
constexpr int kWide = 10000;
constexpr int kHigh = 2200;
constexpr int kMostDots = 80;
constexpr double kLabelGap = 15.0;  // pixels between the names of two curves
constexpr size_t kMostMarkNames = 6;
constexpr int kMarkBuckets = 250;

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

class Drawing {
 public:
  Drawing(const PlotAxis& x, const PlotAxis& y) : x_(x), y_(y) {}

  int X(double value) const {
    return static_cast<int>(std::lround(std::clamp(x_.Place(value), 0.0, 1.0) * kWide));
  }
  int Y(double value) const {
    return static_cast<int>(std::lround((1.0 - std::clamp(y_.Place(value), 0.0, 1.0)) * kHigh));
  }
  // Relative moves are short: most of a report is curves.
  std::string Path(const Stroke& stroke) const {
    std::string path;
    int at_x = 0, at_y = 0;
    for (const Point& point : stroke) {
      const int x = X(point.x), y = Y(point.y);
      if (path.empty()) {
        path = absl::StrCat("M", x, " ", y, "l");
      } else {
        absl::StrAppend(&path, x - at_x, y - at_y < 0 ? "" : " ", y - at_y, " ");
      }
      at_x = x;
      at_y = y;
    }
    // A single point is as long as its round ends.
    return stroke.size() == 1 ? path + "0 0" : path;
  }

 private:
  const PlotAxis& x_;
  const PlotAxis& y_;
};

std::string PathHtml(absl::string_view classes, const std::string& d) {
  return d.empty() ? "" : absl::StrCat("<path class=\"", classes, "\" d=\"", d, "\"/>");
}

std::string GridHtml(const Drawing& drawing, const PlotAxis& y) {
  std::string d;
  for (const Tick& tick : y.ticks()) absl::StrAppend(&d, "M0 ", drawing.Y(tick.value), "h", kWide);
  return PathHtml("grid", d);
}

std::string MarksHtml(const Chart& chart, const Drawing& drawing, Over over) {
  std::string html;
  for (const MarkKind kind :
       {MarkKind::kSave, MarkKind::kSkip, MarkKind::kResume, MarkKind::kStop}) {
    // Many saves are as good as one per few pixels.
    std::set<std::pair<int, int>> drawn;
    for (const Mark& mark : chart.marks) {
      if (mark.kind != kind) continue;
      const int x = drawing.X(At(mark, over));
      if (!drawn.insert({mark.colour, x * kMarkBuckets / kWide}).second) continue;
      const std::string d = kind == MarkKind::kSave   ? absl::StrCat("M", x, " ", kHigh, "v-90")
                            : kind == MarkKind::kSkip ? absl::StrCat("M", x, " 0v90")
                                                      : absl::StrCat("M", x, " 0v", kHigh);
      absl::StrAppendFormat(&html,
                            "<path class=\"mark m-%s c%d\" d=\"%s\"><title>%s</title></path>",
                            Name(kind), mark.colour % kColours, d, Escaped(mark.text));
    }
  }
  return html;
}

std::string MarkNamesHtml(const Chart& chart, const PlotAxis& x, Over over) {
  std::string html;
  size_t names = 0;
  for (const Mark& mark : chart.marks) {
    if (mark.kind != MarkKind::kResume && mark.kind != MarkKind::kStop) continue;
    if (++names > kMostMarkNames) return "";
    const double place = x.Place(At(mark, over));
    absl::StrAppendFormat(&html,
                          "<span class=\"markname%s\" style=\"left:%.2f%%;top:%dpx\">%s</span>",
                          place > 0.5 ? " left" : "", 100.0 * place,
                          static_cast<int>(names - 1) * 14, Escaped(mark.text));
  }
  return html;
}

std::string CurveHtml(const Chart& chart, const Curve& curve, const Drawing& drawing,
                      const PlotAxis& x, Over over) {
  const Thinned thin = Thin(XOf(curve, over), *curve.values, x.low(), x.high(), kPlotBuckets);
  const std::string look = absl::StrCat("c", curve.colour % kColours, " d", curve.dash % kDashes);
  size_t points = 0;
  std::string d, dots, missing;
  for (const Stroke& stroke : thin.strokes) {
    absl::StrAppend(&d, drawing.Path(stroke));
    points += stroke.size();
  }
  std::string html;
  const bool noisy = curve.kind == CurveKind::kNoisy && points > 2 * kMeanBuckets;
  absl::StrAppend(&html, PathHtml(absl::StrCat("curve ", look, noisy ? " raw" : ""), d));
  if (noisy)
    absl::StrAppend(
        &html, PathHtml("curve " + look, drawing.Path(Means(XOf(curve, over), *curve.values,
                                                            x.low(), x.high(), kMeanBuckets))));
  if (curve.kind == CurveKind::kDots && points <= kMostDots) {
    for (const Stroke& stroke : thin.strokes)
      for (const Point& point : stroke)
        absl::StrAppend(&dots, "M", drawing.X(point.x), " ", drawing.Y(point.y), "h0");
    absl::StrAppend(&html, PathHtml(absl::StrCat("dots ", look), dots));
  }
  if (chart.null_is_fault) {
    for (const double at : thin.missing) absl::StrAppend(&missing, "M", drawing.X(at), " 0v120");
    absl::StrAppend(&html, PathHtml("fault", missing));
  }
  return html;
}

// Names at the ends of their curves, moved apart where they would overlap.
std::string NamesHtml(const Chart& chart, const PlotAxis& y) {
  struct Name {
    double top;
    size_t curve;
    float value;
  };
  std::vector<Name> names;
  for (size_t i = 0; i < chart.curves.size(); ++i) {
    const std::vector<float>& values = *chart.curves[i].values;
    const auto last =
        std::find_if(values.rbegin(), values.rend(), [](float v) { return std::isfinite(v); });
    names.push_back({(1.0 - std::clamp(y.Place(*last), 0.0, 1.0)) * kPlotHeight, i, *last});
  }
  std::stable_sort(names.begin(), names.end(),
                   [](const Name& a, const Name& b) { return a.top < b.top; });
  // Down where they are too close, then all back up where the last is too low.
  for (size_t i = 1; i < names.size(); ++i)
    names[i].top = std::max(names[i].top, names[i - 1].top + kLabelGap);
  double lowest = kPlotHeight;
  for (size_t i = names.size(); i > 0; --i, lowest -= kLabelGap)
    names[i - 1].top = std::min(names[i - 1].top, lowest);
  std::string html;
  for (const Name& name : names) {
    const Curve& curve = chart.curves[name.curve];
    absl::StrAppendFormat(&html,
                          "<span class=\"name c%d\" style=\"top:%.0fpx\"><b>%s</b> %s</span>",
                          curve.colour % kColours, name.top, NumberText(name.value, chart.unit),
                          names.size() == 1 ? "" : Escaped(curve.label));
  }
  return html;
}

// Every second one gives way on a narrow page.
std::string TicksHtml(const PlotAxis& x, const PlotAxis& y) {
  std::string html;
  for (const Tick& tick : y.ticks())
    absl::StrAppendFormat(&html, "<span class=\"y\" style=\"top:%.2f%%\">%s</span>",
                          100.0 * (1.0 - y.Place(tick.value)), tick.label);
  for (size_t i = 0; i < x.ticks().size(); ++i)
    absl::StrAppendFormat(&html, "<span class=\"x%s\" style=\"left:%.2f%%\">%s</span>",
                          i % 2 == 1 ? " fine" : "", 100.0 * x.Place(x.ticks()[i].value),
                          x.ticks()[i].label);
  return html;
}

}  // namespace

PlotAxis XAxis(const Chart& chart, Over over) {
  Extent range;
  range.Add(0.0);
  for (const Curve& curve : chart.curves)
    if (!XOf(curve, over).empty()) range.Add(XOf(curve, over).back());
  return PlotAxis::Exact(range.low, range.high,
                         over == Over::kTokens ? Unit::kCount : Unit::kSeconds, 8);
}

PlotAxis YAxis(const Chart& chart) {
  Extent range;
  for (const Curve& curve : chart.curves)
    for (const float y : *curve.values)
      if (std::isfinite(y)) range.Add(y);
  if (chart.scale == Chart::Scale::kLog && range.low > 0.0)
    return PlotAxis::Log(range.low * 0.97, range.high * 1.03, chart.unit);
  if (chart.scale == Chart::Scale::kFromZero) range.Add(0.0);
  return PlotAxis::Linear(range.low, range.high, chart.unit, 5);
}

std::string PlotHtml(const Chart& chart, Over over) {
  const PlotAxis x = XAxis(chart, over), y = YAxis(chart);
  const Drawing drawing(x, y);
  std::string curves;
  for (const Curve& curve : chart.curves)
    absl::StrAppend(&curves, CurveHtml(chart, curve, drawing, x, over));
  return absl::StrCat(
      "<div class=\"plot ", over == Over::kTokens ? "by-tokens" : "by-time",
      "\"><div class=\"area\"><svg viewBox=\"0 0 ", kWide, " ", kHigh,
      "\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"", Escaped(chart.title), " over ",
      over == Over::kTokens ? "tokens" : "time", "\">", GridHtml(drawing, y),
      MarksHtml(chart, drawing, over), curves, "</svg>", TicksHtml(x, y), NamesHtml(chart, y),
      chart.names_marks ? MarkNamesHtml(chart, x, over) : "", HoverHtml(chart, x, over),
      "<span class=\"over\">", over == Over::kTokens ? "tokens" : "time", "</span></div></div>");
}

}  // namespace tl
