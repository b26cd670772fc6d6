// SPDX-License-Identifier: Apache-2.0
// Cosines and sines of the rotary embedding with Llama 3's frequency scaling (Llama 3 herd of
// models, section 3.2; the formula as in Meta's reference code), in fp64. Of patches half of the
// angles turn with the patch's row, half with its column.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "config/model.h"

namespace tl::reference {

// Of the patches of samples of values: as RopeTable has it.
inline std::vector<double> PatchRopeTable(const ModelConfig& model) {
  const auto size = static_cast<size_t>(model.head_dim_or_default()), half = size / 2;
  const auto rows = static_cast<size_t>(model.shape[1] / model.patch);
  const auto columns = static_cast<size_t>(model.shape[2] / model.patch);
  std::vector<double> table;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      std::vector<double> angles;
      for (const size_t place : {row, column}) {
        for (size_t j = 0; j < half / 2; ++j)
          angles.push_back(
              static_cast<double>(place) /
              std::pow(model.rope_theta, static_cast<double>(j) / static_cast<double>(half / 2)));
      }
      for (const double angle : angles) table.push_back(std::cos(angle));
      for (const double angle : angles) table.push_back(std::sin(angle));
    }
  }
  return table;
}

// [positions, 2, D / 2]: cosines, then sines.
inline std::vector<double> RopeTable(const ModelConfig& model, size_t positions) {
  if (model.of_values()) return PatchRopeTable(model);
  const double pi = std::acos(-1.0);
  const auto size = static_cast<size_t>(model.head_dim_or_default());
  const RopeScaling& scaling = model.rope_scaling;
  std::vector<double> table(positions * size);
  for (size_t j = 0; j < size / 2; ++j) {
    double frequency =
        1.0 / std::pow(model.rope_theta, static_cast<double>(2 * j) / static_cast<double>(size));
    if (scaling.factor != 1.0) {
      // How often the wave turns within the original context decides what is done with it.
      const double turns = static_cast<double>(scaling.original_context) * frequency / (2.0 * pi);
      double kept =
          (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      kept = std::fmin(1.0, std::fmax(0.0, kept));
      frequency *= kept + (1.0 - kept) / scaling.factor;
    }
    for (size_t p = 0; p < positions; ++p) {
      table[p * size + j] = std::cos(static_cast<double>(p) * frequency);
      table[p * size + size / 2 + j] = std::sin(static_cast<double>(p) * frequency);
    }
  }
  return table;
}

}  // namespace tl::reference
