// SPDX-License-Identifier: Apache-2.0
#include "engine/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/philox.h"
#include "base/watchdog.h"

namespace tl {

double FastestSeconds(Stream& stream, double budget, const std::function<void()>& call) {
  // A launch and a wait take some 10 us.
  constexpr double kLongEnough = 10e-3;
  constexpr double kMostCalls = 1000.0;
  const auto measure = [&](int64_t calls) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    for (int64_t i = 0; i < calls; ++i) call();
    stream.Synchronize();
    Beat();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  measure(1);
  double best = measure(1), spent = best;
  int64_t calls = 1;
  if (stream.device().type != DeviceType::kCpu && best < kLongEnough) {
    calls = static_cast<int64_t>(std::clamp(std::ceil(kLongEnough / best), 1.0, kMostCalls));
    spent = 0.0;
  }
  while (spent < budget) {
    const double seconds = measure(calls);
    best = std::min(best, seconds / static_cast<double>(calls));
    spent += seconds;
  }
  return best;
}

Tensor RandomMemory::Make(Shape shape, DType dtype, int64_t offset) {
  const auto bytes = static_cast<size_t>(shape.elements()) * SizeOf(dtype);
  buffers_.push_back(Buffer::Allocate(stream_.device(), bytes + static_cast<size_t>(offset)));
  std::byte* const begin = buffers_.back().data() + offset;
  std::vector<std::byte> block(std::min<size_t>(bytes, size_t{1} << 20));
  for (size_t i = 0; i < block.size() / SizeOf(dtype); ++i) {
    const float x = 2.0f * UniformFromWord(Philox(1, i, buffers_.size()).w[0]) - 1.0f;
    std::byte* at = block.data() + i * SizeOf(dtype);
    if (dtype == DType::kF32) std::memcpy(at, &x, sizeof(x));
    if (dtype == DType::kBF16) *reinterpret_cast<BF16*>(at) = FromFloat<BF16>(x);
    if (dtype == DType::kF16) *reinterpret_cast<F16*>(at) = FromFloat<F16>(x);
  }
  CopyBytes(stream_, begin, block.data(), block.size());
  // On the device from then on, twice as much each time.
  for (size_t done = block.size(); done < bytes; done *= 2)
    CopyBytes(stream_, begin + done, begin, std::min(done, bytes - done));
  return Tensor::Contiguous(begin, shape, dtype, stream_.device());
}

}  // namespace tl
