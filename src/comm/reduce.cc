// SPDX-License-Identifier: Apache-2.0
#include "comm/reduce.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

// Plain loops that the compiler vectorises for several machines, picked when the program is loaded.
// Sanitizers instrument the picking itself, before they are ready.
#if defined(__GNUC__) && !defined(__clang__)
#define TL_O3 __attribute__((optimize("O3")))
#else
#define TL_O3
#endif
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TL_CLONES TL_O3 __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define TL_CLONES TL_O3
#endif
#define TL_INLINE inline __attribute__((always_inline))

namespace tl {
namespace {

// Conversions without branches, unlike those of dtype.h, so that loops over them vectorise: GCC
// makes no selects of operations that could trap, hence the masks.
TL_INLINE uint32_t Mask(bool condition) { return -static_cast<uint32_t>(condition); }

TL_INLINE float Load(float x) { return x; }
TL_INLINE double Load(double x) { return x; }
TL_INLINE int32_t Load(int32_t x) { return x; }
TL_INLINE int64_t Load(int64_t x) { return x; }
TL_INLINE float Load(BF16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
TL_INLINE float Load(F16 x) {
  const uint32_t sign = (uint32_t{x.bits} & 0x8000u) << 16;
  const uint32_t shifted = (uint32_t{x.bits} & 0x7fffu) << 13;
  // Scaling by 2^112 re-biases the exponent and makes subnormals exact; Inf and NaN keep their
  // mantissa and get the largest exponent.
  const uint32_t scaled = std::bit_cast<uint32_t>(std::bit_cast<float>(shifted) * 0x1p112f);
  return std::bit_cast<float>(sign | scaled | (Mask(shifted >= 0x0f800000u) & 0x7f800000u));
}

TL_INLINE void Store(float* p, float x) { *p = x; }
TL_INLINE void Store(double* p, double x) { *p = x; }
TL_INLINE void Store(int32_t* p, int32_t x) { *p = x; }
TL_INLINE void Store(int64_t* p, int64_t x) { *p = x; }
TL_INLINE void Store(BF16* p, float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40u;
  p->bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}
TL_INLINE void Store(F16* p, float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  // An addition aligns and rounds.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t small = Mask(magnitude < 0x38800000u);
  const uint32_t large = Mask(magnitude >= 0x477ff000u);
  const uint32_t nan = Mask(magnitude > 0x7f800000u);
  const uint32_t finite = (subnormal & small) | (normal & ~small);
  p->bits = static_cast<uint16_t>(sign | (finite & ~large) | (0x7c00u & large) | (0x200u & nan));
}

struct Sum {
  TL_INLINE static float Apply(float a, float b) { return a + b; }
  TL_INLINE static double Apply(double a, double b) { return a + b; }
  // Unsigned, so that an overflow wraps.
  TL_INLINE static int32_t Apply(int32_t a, int32_t b) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
  TL_INLINE static int64_t Apply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
};

struct Max {
  TL_INLINE static float Apply(float a, float b) { return (b > a) | (b != b) ? b : a; }
  TL_INLINE static int32_t Apply(int32_t a, int32_t b) { return b > a ? b : a; }
};

// out may equal a row, never overlap it otherwise: hence ivdep.
template <typename Op, typename T>
TL_INLINE void Reduce(std::byte* out_bytes, const std::byte* const* rows, int count, int64_t begin,
                      int64_t end) {
  using Acc = decltype(Load(T{}));
  constexpr int64_t kBlock = 1024;
  T* out = reinterpret_cast<T*>(out_bytes);
  const T* first = reinterpret_cast<const T*>(rows[0]);
  if (count == 2) {
    const T* second = reinterpret_cast<const T*>(rows[1]);
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i)
      Store(out + i, Op::Apply(Load(first[i]), Load(second[i])));
    return;
  }
  Acc acc[kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const int64_t n = std::min(kBlock, end - at);
    for (int64_t i = 0; i < n; ++i) acc[i] = Load(first[at + i]);
    int r = 1;
    for (; r + 1 < count; r += 2) {
      const T* row = reinterpret_cast<const T*>(rows[r]) + at;
      const T* next = reinterpret_cast<const T*>(rows[r + 1]) + at;
      for (int64_t i = 0; i < n; ++i)
        acc[i] = Op::Apply(Op::Apply(acc[i], Load(row[i])), Load(next[i]));
    }
    if (r < count) {
      const T* row = reinterpret_cast<const T*>(rows[r]) + at;
      for (int64_t i = 0; i < n; ++i) acc[i] = Op::Apply(acc[i], Load(row[i]));
    }
    for (int64_t i = 0; i < n; ++i) Store(out + at + i, acc[i]);
  }
}

using Function = void (*)(std::byte*, const std::byte* const*, int, int64_t, int64_t);

// Function multiversioning does not take templates.
#define TL_DEFINE_REDUCE(name, Op, T)                                                         \
  TL_CLONES void name(std::byte* out, const std::byte* const* rows, int count, int64_t begin, \
                      int64_t end) {                                                          \
    Reduce<Op, T>(out, rows, count, begin, end);                                              \
  }
TL_DEFINE_REDUCE(SumF32, Sum, float)
TL_DEFINE_REDUCE(SumF64, Sum, double)
TL_DEFINE_REDUCE(SumBF16, Sum, BF16)
TL_DEFINE_REDUCE(SumF16, Sum, F16)
TL_DEFINE_REDUCE(SumI32, Sum, int32_t)
TL_DEFINE_REDUCE(SumI64, Sum, int64_t)
TL_DEFINE_REDUCE(MaxF32, Max, float)
TL_DEFINE_REDUCE(MaxI32, Max, int32_t)
#undef TL_DEFINE_REDUCE

Function Find(ReduceOp op, DType dtype) {
  const bool sum = op == ReduceOp::kSum;
  switch (dtype) {
    case DType::kF32:
      return sum ? SumF32 : MaxF32;
    case DType::kI32:
      return sum ? SumI32 : MaxI32;
    case DType::kBF16:
      return sum ? SumBF16 : nullptr;
    case DType::kF16:
      return sum ? SumF16 : nullptr;
    case DType::kI64:
      return sum ? SumI64 : nullptr;
    case DType::kF64:
      return sum ? SumF64 : nullptr;
    case DType::kU8:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

bool CanReduce(ReduceOp op, DType dtype) { return Find(op, dtype) != nullptr; }

void ReduceRows(ReduceOp op, DType dtype, std::byte* out, absl::Span<const std::byte* const> rows,
                int64_t n) {
  const Function reduce = Find(op, dtype);
  TL_CHECK(reduce != nullptr) << "cannot reduce " << Name(dtype);
  TL_CHECK(!rows.empty());
  const int count = static_cast<int>(rows.size());
  constexpr int64_t kGrain = 1 << 14;  // below, starting threads costs more than it saves
#pragma omp parallel for schedule(static) if (n >= 2 * kGrain)
  for (int64_t begin = 0; begin < n; begin += kGrain)
    reduce(out, rows.data(), count, begin, std::min(begin + kGrain, n));
}

}  // namespace tl
