// SPDX-License-Identifier: Apache-2.0
#include "device/tensor.h"

namespace tl {

const char* Name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "fp32";
    case DType::kBF16:
      return "bf16";
    case DType::kF16:
      return "fp16";
    case DType::kF64:
      return "fp64";
    case DType::kI32:
      return "int32";
    case DType::kI64:
      return "int64";
    case DType::kU8:
      return "uint8";
  }
  return "?";
}

Shape::Shape(std::initializer_list<int64_t> dims) {
  TL_CHECK_LE(static_cast<int>(dims.size()), kMaxRank);
  for (const int64_t dim : dims) dims_[rank_++] = dim;
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int i = 0; i < rank_; ++i) product *= dims_[i];
  return product;
}

void Shape::Append(int64_t dim) {
  TL_CHECK_LT(rank_, kMaxRank);
  dims_[rank_++] = dim;
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  for (int i = 0; i < rank_; ++i) {
    if (dims_[i] != other.dims_[i]) return false;
  }
  return true;
}

std::string ToString(const Shape& shape) {
  std::string out = "[";
  for (int i = 0; i < shape.rank(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

Strides ContiguousStrides(const Shape& shape) {
  Strides strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

Tensor Tensor::Contiguous(std::byte* data, Shape shape, DType dtype, Device device) {
  return {data, shape, ContiguousStrides(shape), dtype, device};
}

bool Tensor::contiguous() const {
  int64_t step = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

Tensor Tensor::Slice(int axis, int64_t begin, int64_t end) const {
  TL_CHECK(0 <= begin && begin <= end && end <= shape[axis])
      << "[" << begin << ", " << end << ") of " << ToString(shape) << " axis " << axis;
  Tensor out = *this;
  out.data += begin * strides[axis] * static_cast<int64_t>(SizeOf(dtype));
  out.shape[axis] = end - begin;
  return out;
}

Tensor Tensor::Reshape(Shape new_shape) const {
  TL_CHECK(contiguous()) << "reshape of a strided view";
  TL_CHECK_EQ(new_shape.elements(), elements());
  return Contiguous(data, new_shape, dtype, device);
}

Tensor Tensor::SplitAxis(int axis, int64_t inner) const {
  TL_CHECK_EQ(shape[axis] % inner, 0);
  if (axis < 0) axis += rank();
  Tensor out = *this;
  out.shape = {};
  out.strides = {};
  for (int i = 0; i < rank(); ++i) {
    if (i == axis) {
      out.shape.Append(shape[i] / inner);
      out.strides.Append(strides[i] * inner);
    }
    out.shape.Append(i == axis ? inner : shape[i]);
    out.strides.Append(strides[i]);
  }
  return out;
}

}  // namespace tl
