#include "engine/roof.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "base/philox.h"
#include "base/watchdog.h"
#include "device/cuda.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"

namespace tl {
namespace {

// Of the fastest call: interruptions only ever add time.
template <typename F>
double FastestSeconds(Stream& stream, double budget, F&& call) {
  using Clock = std::chrono::steady_clock;
  call();
  stream.Synchronize();
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

// Tensors of numbers of size about 1: what is all zeros may run faster than what is not.
class Memory {
 public:
  explicit Memory(Stream& stream) : stream_(stream) {}
  Tensor Make(Shape shape, DType dtype) {
    const auto bytes = static_cast<size_t>(shape.elements()) * SizeOf(dtype);
    buffers_.push_back(Buffer::Allocate(stream_.device(), bytes));
    std::vector<std::byte> block(std::min<size_t>(bytes, size_t{1} << 20));
    for (size_t i = 0; i < block.size() / SizeOf(dtype); ++i) {
      const float x = 2.0f * UniformFromWord(Philox(1, i, buffers_.size()).w[0]) - 1.0f;
      std::byte* at = block.data() + i * SizeOf(dtype);
      if (dtype == DType::kF32) std::memcpy(at, &x, sizeof(x));
      if (dtype == DType::kBF16) *reinterpret_cast<BF16*>(at) = FromFloat<BF16>(x);
      if (dtype == DType::kF16) *reinterpret_cast<F16*>(at) = FromFloat<F16>(x);
    }
    for (size_t at = 0; at < bytes; at += block.size())
      CopyBytes(stream_, buffers_.back().data() + at, block.data(),
                std::min(block.size(), bytes - at));
    return Tensor::Contiguous(buffers_.back().data(), shape, dtype, stream_.device());
  }

 private:
  Stream& stream_;
  std::vector<Buffer> buffers_;
};

}  // namespace

double MeasureGemmRate(Stream& stream, DType compute, double seconds) {
  const bool cpu = stream.device().type == DeviceType::kCpu;
  const DType dtype = cpu && compute == DType::kF16 ? DType::kF32 : compute;
  double best = 0.0, t = 0.0;
  // Larger ones as long as one of them fits into the time.
  for (int64_t n = 512; n <= 8192 && 8.0 * t < seconds; n *= 2) {
    Memory memory(stream);
    const Tensor c = memory.Make({n, n}, dtype), a = memory.Make({n, n}, dtype),
                 b = memory.Make({n, n}, dtype);
    t = FastestSeconds(stream, seconds / 3, [&] {
      Matmul(stream, {.c = c, .a = a, .b = b, .trans_b = Transpose::kYes});
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

AttentionRates MeasureAttention(Stream& stream, DType compute, const AttentionShape& shape,
                                double seconds) {
  const auto [batch, heads, kv_heads, length, d, mask] = shape;
  Memory memory(stream);
  const auto like = [&](int64_t h) { return memory.Make({batch, length, h, d}, compute); };
  const Tensor q = like(heads), k = like(kv_heads), v = like(kv_heads), o = like(heads);
  const Tensor d_o = like(heads), dq = like(heads), dk = like(kv_heads), dv = like(kv_heads);
  const Tensor lse = memory.Make({batch, heads, length}, DType::kF32);
  const Tensor delta = memory.Make({batch, heads, length}, DType::kF32);
  const double forward = FastestSeconds(stream, seconds / 2, [&] {
    Attention(stream, {.o = o, .lse = lse, .q = q, .k = k, .v = v, .mask = mask});
  });
  const double backward = FastestSeconds(stream, seconds / 2, [&] {
    AttentionBackward(stream, {.dq = dq,
                               .dk = dk,
                               .dv = dv,
                               .delta = delta,
                               .d_o = d_o,
                               .o = o,
                               .lse = lse,
                               .q = q,
                               .k = k,
                               .v = v,
                               .mask = mask});
  });
  const double pairs = static_cast<double>(length) * static_cast<double>(length) *
                       (mask == MaskKind::kNone ? 1.0 : 0.5);
  const double flops = 4.0 * static_cast<double>(batch * heads * d) * pairs;
  return {.forward = flops / forward, .backward = 2.5 * flops / backward};
}

double DensePeak(Device device, DType compute) {
  if (device.type == DeviceType::kCpu) return 0.0;
  struct Known {
    const char* name;  // part of the device's
    double tera16, tera32;
  };
  // The longer names first.
  constexpr Known kKnown[] = {{"H100 PCIe", 756, 51},  {"H100 NVL", 835, 60}, {"H100", 989, 67},
                              {"H200", 989, 67},       {"GH200", 989, 67},    {"H800", 989, 67},
                              {"B200", 2250, 75},      {"A100", 312, 19.5},   {"A800", 312, 19.5},
                              {"L40S", 362, 91.6},     {"L4", 121, 30.3},     {"A10", 125, 31.2},
                              {"RTX 4090", 165, 82.6}, {"RTX 3090", 71, 35.6}};
  const std::string& name = cuda::GetPlatform().devices[device.index].name;
  for (const Known& known : kKnown) {
    if (name.find(known.name) != std::string::npos)
      return 1e12 * (compute == DType::kF32 ? known.tera32 : known.tera16);
  }
  return 0.0;
}

}  // namespace tl
