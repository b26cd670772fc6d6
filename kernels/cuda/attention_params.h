// SPDX-License-Identifier: Apache-2.0
// What the attention kernels take: views, masks, and sizes.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/launch.h"

namespace tl::cuda {

// A [B, T, H, D] tensor; strides in elements.
struct AttentionView {
  std::byte* data;
  int64_t batch, row, head;

  template <typename T>
  __device__ T* At(int64_t b, int64_t t, int64_t h) const {
    return reinterpret_cast<T*>(data) + (b * batch + t * row + h * head);
  }
  // Whether every vector starts at a multiple of 16 bytes.
  bool Aligned(int64_t element_bytes) const {
    const auto whole = [&](int64_t stride) { return stride * element_bytes % 16 == 0; };
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 && whole(batch) && whole(row) && whole(head);
  }
};

struct Range {
  int begin, end;
};

// Masks as ranges, as on the CPU: causal, window and segment masks and their intersections let each
// query see one contiguous range of keys, and each key be seen by one contiguous range of queries;
// the ends of either never decrease.
struct DeviceMask {
  MaskKind kind;
  int tq, tk;
  int64_t offset;  // query position - key position, of the first of each
  int64_t window;
  const int32_t* q_segments;  // [B, Tq], [B, Tk], or null
  const int32_t* k_segments;

  static __device__ int Clamp(int64_t x, int n) {
    return x < 0 ? 0 : x > n ? n : static_cast<int>(x);
  }
  // Index of the first of n non-decreasing values that is not below x.
  static __device__ int LowerBound(const int32_t* values, int n, int64_t x) {
    int begin = 0;
    while (n > 0) {
      const int half = n / 2;
      const bool below = values[begin + half] < x;
      begin = below ? begin + half + 1 : begin;
      n = below ? n - half - 1 : half;
    }
    return begin;
  }
  static __device__ Range Meet(Range range, const int32_t* values, int n, int32_t segment) {
    const int begin = LowerBound(values, n, segment);
    const int end = LowerBound(values, n, int64_t{segment} + 1);
    return {range.begin > begin ? range.begin : begin, range.end < end ? range.end : end};
  }

  __device__ Range Keys(int64_t b, int query) const {
    Range range = {0, tk};
    if (kind != MaskKind::kNone) range.end = Clamp(offset + query + 1, tk);
    if (kind == MaskKind::kWindow) range.begin = Clamp(offset + query + 1 - window, tk);
    if (q_segments == nullptr) return range;
    return Meet(range, k_segments + b * tk, tk, q_segments[b * tq + query]);
  }
  __device__ Range Queries(int64_t b, int key) const {
    Range range = {0, tq};
    if (kind != MaskKind::kNone) range.begin = Clamp(key - offset, tq);
    if (kind == MaskKind::kWindow) range.end = Clamp(key - offset + window, tq);
    if (q_segments == nullptr) return range;
    return Meet(range, q_segments + b * tq, tq, k_segments[b * tk + key]);
  }
};

struct ForwardParams {
  AttentionView o, q, k, v;
  float* lse;
  DeviceMask mask;
  int batch, q_heads, k_heads, d;
  float scale;
  float factor;  // |scale| in units of log 2
};

struct BackwardParams {
  AttentionView dq, dk, dv, d_o, o, q, k, v;
  float* delta;
  const float* lse;
  DeviceMask mask;
  int batch, q_heads, k_heads, d;
  float scale;

  __device__ int group() const { return q_heads / k_heads; }
};

// Whether a block of the current device can have so much shared memory, static and dynamic.
bool FitsSharedMemory(size_t bytes);
// Calls f with the first of the traits whose shared memory the device has; false where none fits.
template <class... Traits, class F>
bool WithFirstThatFits(const F& f) {
  return ((FitsSharedMemory(Traits::kSharedBytes + Traits::kStaticBytes) && (f(Traits()), true)) ||
          ...);
}

// Tensor cores: mma.sync, on every GPU since Ampere; 16-bit types, 16-byte aligned views. A path of
// one architecture alone gets a file of its own and its place in the choice in attention.cu. False
// where the device has too little shared memory.
bool AttentionForwardMma(Stream& stream, const ForwardParams& params, DType dtype);
bool AttentionBackwardMma(Stream& stream, const BackwardParams& params, DType dtype);
std::optional<AttentionLaunch> BackwardMmaLaunch(const BackwardParams& params, DType dtype);
// Fused multiply-adds alone: fp32, and views whose vectors are not 16-byte aligned.
void AttentionForwardPlain(Stream& stream, const ForwardParams& params, DType dtype);
void AttentionBackwardPlain(Stream& stream, const BackwardParams& params, DType dtype);

}  // namespace tl::cuda
