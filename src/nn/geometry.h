// The collectives of tensor parallelism (Shoeybi et al. 2019) and its sequence-parallel form
// (Korthikanti et al. 2022): activations between the split products are whole on every rank, or,
// with sequence parallelism, divided over the group by rows.
#pragma once

#include "nn/step.h"

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

// All ranks' rows: gathered into `full` with split rows, else x itself.
inline Tensor GatherRows(Step& step, const Geometry& g, Tensor full, Tensor x) {
  if (!g.split_rows()) return x;
  step.tensor_group().AllGather(step.stream(), full, x);
  return full;
}

// The sum of all ranks' `partial` [rows, ...] into `out`: this rank's rows with split rows, else
// all of them, where partial must be out itself.
inline void ReduceRows(Step& step, const Geometry& g, Tensor out, Tensor partial) {
  if (g.split_rows()) {
    step.tensor_group().ReduceScatter(step.stream(), out, partial);
  } else if (g.tensor_size > 1) {
    step.tensor_group().AllReduce(step.stream(), out);
  }
}

}  // namespace tl
