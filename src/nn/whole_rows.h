// SPDX-License-Identifier: Apache-2.0
// The collectives of tensor parallelism (Shoeybi et al. 2019) and its sequence-parallel form
// (Korthikanti et al. 2022): activations between the split products are whole on every rank, or,
// with sequence parallelism, divided over the group by rows.
#pragma once

#include <string>

#include "nn/geometry.h"
#include "nn/step.h"

namespace tl {

// All ranks' rows of an activation, [rows, width]: a slot where rows are split, else the activation
// itself.
class WholeRows {
 public:
  // Plans the slot where rows are split.
  void Declare(Plan& plan, const Geometry& geometry, std::string name, int64_t width, Life life);
  // Ends the slot, see Plan::End.
  void End(Plan& plan) const;
  // Gathers the rows of which each rank has x.
  Tensor Gather(Step& step, Tensor x) const;
  // Returns where this rank writes its part of a sum that Reduce leaves in `out`.
  Tensor Partial(Step& step, Tensor out) const { return slot_ >= 0 ? step.Slot(slot_) : out; }
  // Sums all ranks' parts into `out`: this rank's rows where rows are split, else all of them.
  void Reduce(Step& step, Tensor out) const;

 private:
  SlotId slot_ = -1;
};

// This rank's rows of an input that every rank has whole.
inline Tensor OwnRows(Step& step, const Geometry& geometry, Tensor whole) {
  if (!geometry.split_rows()) return whole;
  const int64_t begin = step.tensor_group().rank() * geometry.local_rows();
  return whole.Slice(0, begin, begin + geometry.local_rows());
}

}  // namespace tl
