#include "engine/roof.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/watchdog.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"

namespace tl {
namespace {

// Of the fastest call: interruptions only ever add time.
template <typename F>
double FastestSeconds(Stream& stream, double budget, F&& call) {
  using Clock = std::chrono::steady_clock;
  call();
  double best = 1e30, spent = 0.0;
  do {
    const auto start = Clock::now();
    call();
    stream.Synchronize();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    spent += seconds;
    Beat();
  } while (spent < budget);
  return best;
}

}  // namespace

double MeasureGemmRate(Stream& stream, DType compute, double seconds) {
  const DType dtype = compute == DType::kF16 ? DType::kF32 : compute;
  double best = 0.0;
  for (const int64_t n : {512, 1024, 2048}) {
    const auto bytes = static_cast<size_t>(n * n) * SizeOf(dtype);
    Buffer memory[3];
    Tensor view[3];
    for (int i = 0; i < 3; ++i) {
      memory[i] = Buffer::Allocate(stream.device(), bytes);
      ZeroBytes(stream, memory[i].data(), bytes);
      view[i] = Tensor::Contiguous(memory[i].data(), {n, n}, dtype, stream.device());
    }
    const double t = FastestSeconds(stream, seconds / 3, [&] {
      Matmul(stream, {.c = view[0], .a = view[1], .b = view[2], .trans_b = Transpose::kYes});
    });
    best = std::max(best, 2.0 * static_cast<double>(n * n * n) / t);
  }
  return best;
}

double MeasureCopyRate(Stream& stream, double seconds) {
  constexpr int64_t kElements = 32 << 20;
  Buffer from = Buffer::Allocate(stream.device(), kElements * sizeof(float));
  Buffer to = Buffer::Allocate(stream.device(), kElements * sizeof(float));
  ZeroBytes(stream, from.data(), from.size());
  ZeroBytes(stream, to.data(), to.size());
  const auto view = [&](Buffer& b) {
    return Tensor::Contiguous(b.data(), {kElements}, DType::kF32, stream.device());
  };
  const double t = FastestSeconds(stream, seconds,
                                  [&] { Convert(stream, {.dst = view(to), .src = view(from)}); });
  return 2.0 * static_cast<double>(from.size()) / t;
}

}  // namespace tl
