// SPDX-License-Identifier: Apache-2.0
// The sizes that all layers of a model share.
#pragma once

#include "nn/params.h"

namespace tl {

// The sizes all layers of a model share, and where they compute.
struct Geometry {
  int64_t batch = 0;
  int64_t sequence_length = 0;
  DType compute = DType::kF32;
  int tensor_size = 1;
  bool sequence_parallel = false;
  DeviceType device = DeviceType::kCpu;

  int64_t rows() const { return batch * sequence_length; }
  bool split_rows() const { return sequence_parallel && tensor_size > 1; }
  // Of activations between the split products on one rank.
  int64_t local_rows() const { return split_rows() ? rows() / tensor_size : rows(); }
  // How a parameter that every rank applies to its own rows has its gradient completed.
  TensorReduce row_reduce() const {
    return split_rows() ? TensorReduce::kGroup : TensorReduce::kNone;
  }
};

}  // namespace tl
