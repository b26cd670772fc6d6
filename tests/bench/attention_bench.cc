// SPDX-License-Identifier: Apache-2.0
// Times attention, forward and backward, beside the rate of oneDNN's GEMM in the same process.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "kernels/attention.h"
#include "kernels/matmul.h"

namespace tl {
namespace {

// Tensors of one type in one buffer each, filled with a fixed pattern of numbers of size about 1.
class Memory {
 public:
  Tensor Make(Shape shape, DType dtype) {
    buffers_.push_back(Buffer::Allocate({}, static_cast<size_t>(shape.elements()) * SizeOf(dtype)));
    Tensor t = Tensor::Contiguous(buffers_.back().data(), shape, dtype);
    uint32_t state = 1 + static_cast<uint32_t>(buffers_.size());
    for (int64_t i = 0; i < t.elements(); ++i) {
      state = state * 1664525u + 1013904223u;
      const float x = static_cast<float>(state >> 8) * (4.0f / (1 << 24)) - 2.0f;
      if (dtype == DType::kF32) t.as<float>()[i] = x;
      if (dtype == DType::kBF16) t.as<BF16>()[i] = FromFloat<BF16>(x);
      if (dtype == DType::kF16) t.as<F16>()[i] = FromFloat<F16>(x);
    }
    return t;
  }

 private:
  std::vector<Buffer> buffers_;
};

// The median of runs over at least 0.4 s, after one to warm up.
template <class F>
double Milliseconds(const F& f) {
  using Clock = std::chrono::steady_clock;
  const auto elapsed = [](Clock::time_point from) {
    return std::chrono::duration<double, std::milli>(Clock::now() - from).count();
  };
  f();
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < 5 || elapsed(start) < 400.0) {
    const auto from = Clock::now();
    f();
    times.push_back(elapsed(from));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

struct Case {
  int64_t batch, q_heads, k_heads, t, d;
  MaskKind mask;
  int64_t window;
};

void Run(Stream& stream, const Case& c, DType dtype) {
  Memory memory;
  const Tensor qkv = memory.Make({c.batch, c.t, c.q_heads + 2 * c.k_heads, c.d}, dtype);
  const Tensor q = qkv.Slice(2, 0, c.q_heads);
  const Tensor k = qkv.Slice(2, c.q_heads, c.q_heads + c.k_heads);
  const Tensor v = qkv.Slice(2, c.q_heads + c.k_heads, c.q_heads + 2 * c.k_heads);
  const Tensor d_qkv = memory.Make(qkv.shape, dtype);
  const Tensor o = memory.Make(q.shape, dtype), d_o = memory.Make(q.shape, dtype);
  const Tensor lse = memory.Make({c.batch, c.q_heads, c.t}, DType::kF32);
  const Tensor delta = memory.Make(lse.shape, DType::kF32);
  const AttentionMask mask = {.kind = c.mask, .window = c.window};
  const double forward = Milliseconds(
      [&] { Attention(stream, {.o = o, .lse = lse, .q = q, .k = k, .v = v, .mask = mask}); });
  const double backward = Milliseconds([&] {
    AttentionBackward(stream,
                      {.dq = d_qkv.Slice(2, 0, c.q_heads),
                       .dk = d_qkv.Slice(2, c.q_heads, c.q_heads + c.k_heads),
                       .dv = d_qkv.Slice(2, c.q_heads + c.k_heads, c.q_heads + 2 * c.k_heads),
                       .delta = delta,
                       .d_o = d_o,
                       .o = o,
                       .lse = lse,
                       .q = q,
                       .k = k,
                       .v = v,
                       .mask = mask});
  });
  // What the mask lets through, counted exactly; 4 and 10 operations per key, query and element.
  double pairs = 0.0;
  for (int64_t i = 0; i < c.t; ++i) {
    int64_t seen = c.mask == MaskKind::kNone ? c.t : i + 1;
    if (c.mask == MaskKind::kWindow) seen = std::min(seen, c.window);
    pairs += static_cast<double>(seen);
  }
  const double units = pairs * static_cast<double>(c.batch * c.q_heads * c.d) * 1e-6;
  const char* masks[] = {"full", "causal", "window"};
  std::printf("%s B%-3ld H%ld/%ld T%-5ld d%-4ld %-7s %9.2f %7.0f %9.2f %7.0f\n", Name(dtype),
              c.batch, c.q_heads, c.k_heads, c.t, c.d, masks[static_cast<int>(c.mask)], forward,
              4.0 * units / forward, backward, 10.0 * units / backward);
}

void GemmRate(Stream& stream, DType dtype) {
  Memory memory;
  const int64_t m = 4096, k = 768, n = 3072;
  const Tensor a = memory.Make({m, k}, dtype), b = memory.Make({n, k}, dtype);
  const Tensor c = memory.Make({m, n}, dtype);
  const double ms =
      Milliseconds([&] { Matmul(stream, {.c = c, .a = a, .b = b, .trans_b = Transpose::kYes}); });
  std::printf("%s GEMM %ld x %ld x %ld: %.0f GFLOP/s\n", Name(dtype), m, k, n,
              2e-6 * static_cast<double>(m * k * n) / ms);
}

}  // namespace
}  // namespace tl

int main() {
  tl::Stream stream = tl::Stream::Cpu();
  const auto causal = tl::MaskKind::kCausal;
  const tl::Case cases[] = {
      {4, 12, 12, 1024, 64, causal, 0}, {4, 12, 12, 1024, 64, tl::MaskKind::kNone, 0},
      {8, 6, 6, 256, 64, causal, 0},    {1, 32, 8, 2048, 128, causal, 0},
      {1, 1, 1, 4096, 64, causal, 0},   {1, 12, 12, 4096, 64, tl::MaskKind::kWindow, 512}};
  std::printf("%d threads\n", omp_get_max_threads());
  std::printf("%-33s %9s %7s %9s %7s\n", "", "fwd ms", "GFLOP/s", "bwd ms", "GFLOP/s");
  for (const tl::DType dtype : {tl::DType::kF32, tl::DType::kBF16}) {
    tl::GemmRate(stream, dtype);
    for (const tl::Case& c : cases) tl::Run(stream, c, dtype);
  }
  return 0;
}
