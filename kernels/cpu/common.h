// SPDX-License-Identifier: Apache-2.0
// What the CPU kernels share outside SIMD code: threads, element types, row views.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "device/tensor.h"

namespace tl::cpu {

// Threads worth starting for this much memory traffic: a fork costs some microseconds, the time in
// which a core moves about this many bytes.
inline int ThreadsFor(int64_t bytes) {
  constexpr int64_t kBytesPerThread = 64 << 10;
  if (bytes < 2 * kBytesPerThread || omp_in_parallel()) return 1;
  return static_cast<int>(std::min<int64_t>(bytes / kBytesPerThread, omp_get_max_threads()));
}

// Cuts [0, n) into one range per thread, at multiples of granule, and calls f(part, begin, end) for
// each in its own thread. The cut depends on n, threads and granule alone.
template <class F>
void ParallelRanges(int64_t n, int threads, int64_t granule, const F& f) {
  const int64_t grains = (n + granule - 1) / granule;
  const int parts = static_cast<int>(std::min<int64_t>(threads, grains));
  if (parts <= 1) {
    if (n > 0) f(0, int64_t{0}, n);
    return;
  }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int part = 0; part < parts; ++part) {
    f(part, grains * part / parts * granule, std::min(n, grains * (part + 1) / parts * granule));
  }
}

// Calls f with a value of the C++ type of a float dtype.
template <class F>
void WithFloatType(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kBF16:
      return f(BF16{});
    case DType::kF16:
      return f(F16{});
    default:
      TL_CHECK(false) << "expected fp32, bf16 or fp16, found " << Name(dtype);
  }
}

// The vectors along the last axis of a [rows, width] or [rows, heads, width] view, as one list.
template <typename T>
class Rows {
 public:
  explicit Rows(const Tensor& t) : data_(t.as<T>()), row_stride_(t.strides[0]) {
    if (t.rank() != 3) return;
    heads_ = t.shape[1];
    head_stride_ = t.strides[1];
  }
  T* operator[](int64_t i) const {
    if (heads_ == 1) return data_ + i * row_stride_;
    return data_ + i / heads_ * row_stride_ + i % heads_ * head_stride_;
  }

 private:
  T* data_;
  int64_t row_stride_;
  int64_t heads_ = 1;
  int64_t head_stride_ = 0;
};

}  // namespace tl::cpu
