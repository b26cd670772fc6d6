// SPDX-License-Identifier: Apache-2.0
// What one figure of a report shows, apart from how it is drawn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/axis.h"
#include "report/metric_table.h"

namespace tl {

// What a figure's curves run over. Each is drawn for both, and the page shows one.
enum class Over : uint8_t { kTokens, kTime };
inline constexpr Over kOvers[] = {Over::kTokens, Over::kTime};

inline constexpr int kColours = 7;  // that tell apart, also for the colour-blind
inline constexpr int kDashes = 4;

enum class CurveKind : uint8_t {
  kNoisy,  // many points, pale, with their means before them
  kLine,
  kDots,  // few points, joined
};

struct Curve {
  std::string name;
  std::string label = {};  // beside its end, where its colour tells the rest of the name
  int colour = 0;          // beyond kColours they come again
  int dash = 0;            // 0: drawn through
  CurveKind kind = CurveKind::kLine;
  const MetricTable* table = nullptr;          // not null
  const std::vector<float>* values = nullptr;  // a column of it
};

enum class MarkKind : uint8_t { kSave, kResume, kStop, kSkip };
const char* Name(MarkKind kind);  // "save"

struct Mark {
  MarkKind kind;
  int64_t step = 0;
  double tokens = 0.0;
  double seconds = 0.0;
  int colour = 0;
  std::string text = {};  // "resumed after step 100"
};

struct Chart {
  std::string id;  // an anchor: letters and hyphens
  std::string title;
  std::string about = {};  // a line: what is drawn, in which unit
  Unit unit = Unit::kPlain;
  enum class Scale : uint8_t { kLinear, kFromZero, kLog } scale = Scale::kLinear;
  bool null_is_fault = false;  // kNull is marked: not finite, or nothing was counted
  bool names_marks = false;    // a text beside marks of resumes and stops
  std::vector<Curve> curves = {};
  std::vector<Mark> marks = {};
};

inline double At(const Mark& mark, Over over) {
  return over == Over::kTokens ? mark.tokens : mark.seconds;
}
inline const std::vector<double>& XOf(const Curve& curve, Over over) {
  return over == Over::kTokens ? curve.table->tokens : curve.table->seconds;
}

// The figure with both its plots and its tables, as HTML; empty where no curve has a point.
std::string ChartHtml(const Chart& chart);

}  // namespace tl
