// SPDX-License-Identifier: Apache-2.0
// The numbers of a run by column: one table of its steps, one of its evaluations.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace tl {

inline constexpr float kAbsent = std::numeric_limits<float>::quiet_NaN();
// What JSON says by null: a number that is not finite, or a mean of nothing.
inline constexpr float kNull = std::numeric_limits<float>::infinity();

class MetricTable {
 public:
  struct Column {
    std::string name;           // "loss", "losses/token_2", "heads/token_2/alpha"
    std::vector<float> values;  // by row: finite, kAbsent or kNull
  };

  size_t rows() const { return steps.size(); }
  // Drops the rows from `step` on, which must be those at the end, and adds one.
  void Add(int64_t step);
  // Sets a value of the last row.
  void Set(size_t column, float value) { columns[column].values.back() = value; }
  // The number of the column, made where there is none yet.
  size_t Make(const std::string& name);
  // Null where there is none.
  const std::vector<float>* Find(const std::string& name) const;

  std::vector<int64_t> steps;   // increasing
  std::vector<double> tokens;   // seen since step 0
  std::vector<double> seconds;  // of training since step 0: steps and evaluations
  std::vector<Column> columns;  // as long as steps
  int64_t repeated = 0;         // rows that later ones replaced
};

}  // namespace tl
