// SPDX-License-Identifier: Apache-2.0
#include "model/rope_table.h"

#include <cmath>
#include <numbers>

namespace tl {
namespace {

double Scaled(double frequency, const RopeScaling& scaling) {
  if (scaling.factor == 1.0) return frequency;
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const auto context = static_cast<double>(scaling.original_context);
  if (wavelength < context / scaling.high_freq_factor) return frequency;
  if (wavelength > context / scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth = (context / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1.0 - smooth) * frequency / scaling.factor + smooth * frequency;
}

}  // namespace

std::vector<double> RopeFrequencies(const ModelConfig& model) {
  const int64_t d = model.head_dim_or_default();
  std::vector<double> frequencies;
  frequencies.reserve(static_cast<size_t>(d / 2));
  for (int64_t j = 0; j < d / 2; ++j) {
    frequencies.push_back(
        Scaled(std::pow(model.rope_theta, -2.0 * static_cast<double>(j) / static_cast<double>(d)),
               model.rope_scaling));
  }
  return frequencies;
}

std::vector<float> MakeRopeTable(const ModelConfig& model, int64_t positions) {
  const int64_t d = model.head_dim_or_default(), half = d / 2;
  const std::vector<double> frequencies = RopeFrequencies(model);
  const int64_t columns = model.of_values() ? model.shape[2] / model.patch : positions;
  std::vector<float> table(positions * d);
  for (int64_t j = 0; j < half; ++j) {
    const bool by_row = model.of_values() && j < half / 2, by_column = model.of_values() && !by_row;
    // Every other frequency, for rows and again for columns.
    const double frequency = frequencies[model.of_values() ? 2 * (j % (half / 2)) : j];
    for (int64_t p = 0; p < positions; ++p) {
      const int64_t place = by_row ? p / columns : by_column ? p % columns : p;
      const double angle = static_cast<double>(place) * frequency;
      table[p * d + j] = static_cast<float>(std::cos(angle));
      table[p * d + half + j] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

int64_t RopeTable::Bytes(const ModelConfig& model, int64_t positions) {
  return positions * model.head_dim_or_default() * static_cast<int64_t>(sizeof(float));
}

RopeTable::RopeTable(const ModelConfig& model, int64_t positions, Device device)
    : memory_(Buffer::Allocate(device, static_cast<size_t>(Bytes(model, positions)))),
      view_(Tensor::Contiguous(memory_.data(), {positions, 2, model.head_dim_or_default() / 2},
                               DType::kF32, device)) {
  const std::vector<float> table = MakeRopeTable(model, positions);
  Stream copies = Stream::On(device);
  CopyBytes(copies, memory_.data(), reinterpret_cast<const std::byte*>(table.data()),
            table.size() * sizeof(float));
}

}  // namespace tl
