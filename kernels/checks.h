// SPDX-License-Identifier: Apache-2.0
// What an op's CheckArgs is written with. A check that fails tells what it found, what it expected
// and where it stands.
#pragma once

#include <ostream>

#include "base/check.h"
#include "device/tensor.h"

namespace tl {

struct CallSite {
  const char* file;
  int line;
  // As a default argument: of the call.
  static constexpr CallSite Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

inline std::ostream& operator<<(std::ostream& out, const CallSite& site) {
  return out << ", at " << site.file << ":" << site.line;
}

inline void CheckShape(const Tensor& t, const Shape& shape, CallSite site = CallSite::Here()) {
  TL_CHECK(t.shape == shape) << ToString(t.shape) << ", expected " << ToString(shape) << site;
}
inline void CheckType(const Tensor& t, DType dtype, CallSite site = CallSite::Here()) {
  TL_CHECK(t.dtype == dtype) << Name(t.dtype) << ", expected " << Name(dtype) << site;
}
inline void CheckSameShape(const Tensor& t, const Tensor& like, CallSite site = CallSite::Here()) {
  CheckShape(t, like.shape, site);
}
inline void CheckSameType(const Tensor& t, const Tensor& like, CallSite site = CallSite::Here()) {
  CheckType(t, like.dtype, site);
}
// Checks shape and type.
inline void CheckLike(const Tensor& t, const Tensor& like, CallSite site = CallSite::Here()) {
  CheckSameShape(t, like, site);
  CheckSameType(t, like, site);
}
inline void CheckContiguous(const Tensor& t, CallSite site = CallSite::Here()) {
  TL_CHECK(t.contiguous()) << ToString(t.shape) << ", strides " << ToString(t.strides) << site;
}
inline void CheckLastAxis(const Tensor& t, CallSite site = CallSite::Here()) {
  TL_CHECK(t.strides[-1] == 1) << ToString(t.shape) << ", strides " << ToString(t.strides) << site;
}

}  // namespace tl
