// SPDX-License-Identifier: Apache-2.0
// What an objective reports of its heads: names and numbers, whatever they mean.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tl {

// A fraction that heads report beside their losses.
struct MeasureKind {
  const char* name;   // in metrics.jsonl and for TensorBoard
  const char* title;  // in tables
  // Those it is a fraction of, where they are not the head's targets; else null.
  const char* of_name = nullptr;
  const char* of_title = nullptr;
  bool plotted = true;  // by TensorBoard
};

struct Measure {
  const MeasureKind* kind = nullptr;
  double value = 0.0;  // NaN where nothing was counted, and where the loss is NaN
  int64_t of = 0;
};

struct HeadResult {
  std::string name;
  int64_t targets = 0;  // see Objective::Count
  double loss = 0.0;    // per target; NaN where there are none
  std::vector<Measure> measures = {};

  // Null where the head does not report it.
  const Measure* Find(const MeasureKind& kind) const {
    for (const Measure& measure : measures) {
      if (measure.kind == &kind) return &measure;
    }
    return nullptr;
  }
};

}  // namespace tl
