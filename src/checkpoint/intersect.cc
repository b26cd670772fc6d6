// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/intersect.h"

#include <utility>

namespace tl {

BoxPair::BoxPair(Box a, Box b, const Shape& whole)
    : a_(std::move(a)), b_(std::move(b)), rank_(whole.rank()) {
  for (int64_t width = whole[rank_ - 1]; rank_ > 1; --rank_) {
    const int axis = rank_ - 1;
    if (a_.size[axis] != width || b_.size[axis] != width) break;
    for (Box* box : {&a_, &b_}) {
      box->begin[axis - 1] *= width;
      box->size[axis - 1] *= width;
    }
    width *= whole[axis - 1];
  }
}

int64_t BoxPair::RowInB(int64_t row) const {
  int64_t in_b = 0, stride = 1;
  for (int axis = rank_ - 2; axis >= 0; --axis) {
    const int64_t i = row % a_.size[axis] + a_.begin[axis] - b_.begin[axis];
    row /= a_.size[axis];
    if (i < 0 || i >= b_.size[axis]) return -1;
    in_b += i * stride;
    stride *= b_.size[axis];
  }
  return in_b;
}

}  // namespace tl
