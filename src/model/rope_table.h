// SPDX-License-Identifier: Apache-2.0
// Cosines and sines of the rotary embedding, with Llama 3's frequency scaling where configured.
#pragma once

#include <vector>

#include "config/model.h"
#include "device/tensor.h"

namespace tl {

// [head_dim / 2]: f_j = theta^(-2j / head_dim), scaled as in RopeScaling.
std::vector<double> RopeFrequencies(const ModelConfig& model);

// fp32 [positions, 2, head_dim / 2]: cos then sin of position * f_j. Angles are computed in fp64.
// Where samples are values, positions are their patches, row by row: the first half of the angles is
// of a patch's row, the second of its column, each with f_j = theta^(-4j / head_dim), j < head_dim / 4.
std::vector<float> MakeRopeTable(const ModelConfig& model, int64_t positions);

// The table in a device's memory.
class RopeTable {
 public:
  RopeTable(const ModelConfig& model, int64_t positions, Device device);
  static int64_t Bytes(const ModelConfig& model, int64_t positions);
  // fp32 [positions, 2, head_dim / 2].
  Tensor view() const { return view_; }

 private:
  Buffer memory_;
  Tensor view_;
};

}  // namespace tl
