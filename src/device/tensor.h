// SPDX-License-Identifier: Apache-2.0
// A tensor is a view: a pointer, a shape, strides in elements, an element type and a device. It
// never owns. The last axis is contiguous (stride 1) unless an op's header says otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/check.h"
#include "device/device.h"
#include "device/dtype.h"

namespace tl {

class Shape {
 public:
  static constexpr int kMaxRank = 5;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  // Negative axes count from the end.
  int64_t operator[](int axis) const { return dims_[Index(axis)]; }
  int64_t& operator[](int axis) { return dims_[Index(axis)]; }
  int64_t elements() const;
  void Append(int64_t dim);
  bool operator==(const Shape& other) const;

 private:
  int Index(int axis) const {
    const int i = axis < 0 ? axis + rank_ : axis;
    TL_CHECK(i >= 0 && i < rank_) << "axis " << axis << " of rank " << rank_;
    return i;
  }
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

using Strides = Shape;  // in elements

std::string ToString(const Shape& shape);  // "[2, 3]"
Strides ContiguousStrides(const Shape& shape);

struct Tensor {
  std::byte* data = nullptr;
  Shape shape;
  Strides strides;
  DType dtype = DType::kF32;
  Device device;

  static Tensor Contiguous(std::byte* data, Shape shape, DType dtype, Device device = {});
  // Over host memory that outlives the view.
  template <typename T>
  static Tensor Of(T* data, Shape shape) {
    return Contiguous(reinterpret_cast<std::byte*>(data), shape, DTypeOf<T>::value);
  }

  explicit operator bool() const { return data != nullptr; }
  int rank() const { return shape.rank(); }
  int64_t elements() const { return shape.elements(); }
  int64_t bytes() const { return elements() * static_cast<int64_t>(SizeOf(dtype)); }
  bool contiguous() const;

  template <typename T>
  T* as() const {
    TL_CHECK(dtype == DTypeOf<T>::value) << "tensor is " << Name(dtype);
    return reinterpret_cast<T*>(data);
  }

  // Rows [begin, end) of an axis.
  Tensor Slice(int axis, int64_t begin, int64_t end) const;
  // The same elements of a contiguous tensor under another shape.
  Tensor Reshape(Shape new_shape) const;
  // Splits one axis into two: [.., a*b, ..] -> [.., a, b, ..], b = inner. Works on strided views.
  Tensor SplitAxis(int axis, int64_t inner) const;
};

}  // namespace tl
