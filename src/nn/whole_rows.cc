// SPDX-License-Identifier: Apache-2.0
#include "nn/whole_rows.h"

namespace tl {

void WholeRows::Declare(Plan& plan, const Geometry& geometry, std::string name, int64_t width,
                        Life life) {
  if (!geometry.split_rows()) return;
  slot_ = plan.Slot(std::move(name), {geometry.rows(), width}, geometry.compute, life);
}

void WholeRows::End(Plan& plan) const {
  if (slot_ >= 0) plan.End(slot_);
}

Tensor WholeRows::Gather(Step& step, Tensor x) const {
  if (slot_ < 0) return x;
  const Tensor whole = step.Slot(slot_);
  step.tensor_group().AllGather(step.stream(), whole, x);
  return whole;
}

void WholeRows::Reduce(Step& step, Tensor out) const {
  if (slot_ >= 0) {
    step.tensor_group().ReduceScatter(step.stream(), out, step.Slot(slot_));
  } else if (step.tensor_group().size() > 1) {
    step.tensor_group().AllReduce(step.stream(), out);
  }
}

}  // namespace tl
