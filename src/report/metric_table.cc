// SPDX-License-Identifier: Apache-2.0
#include "report/metric_table.h"

#include <algorithm>

namespace tl {

void MetricTable::Add(int64_t step) {
  size_t rows = steps.size();
  while (rows > 0 && steps[rows - 1] >= step) --rows;
  if (rows < steps.size()) {
    repeated += static_cast<int64_t>(steps.size() - rows);
    steps.resize(rows);
    tokens.resize(rows);
    for (Column& column : columns) column.values.resize(rows);
  }
  steps.push_back(step);
  tokens.push_back(0.0);
  for (Column& column : columns) column.values.push_back(kAbsent);
}

size_t MetricTable::Make(const std::string& name) {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == name) return i;
  }
  columns.push_back({.name = name, .values = std::vector<float>(rows(), kAbsent)});
  return columns.size() - 1;
}

const std::vector<float>* MetricTable::Find(const std::string& name) const {
  for (const Column& column : columns) {
    if (column.name == name) return &column.values;
  }
  return nullptr;
}

}  // namespace tl
