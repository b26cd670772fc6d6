// SPDX-License-Identifier: Apache-2.0
#include "engine/roof.h"

#include <algorithm>
#include <string>

#include "device/cuda.h"
#include "engine/measure.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"

namespace tl {

double MeasureGemmRate(Stream& stream, DType compute, double seconds) {
  const bool cpu = stream.device().type == DeviceType::kCpu;
  const DType dtype = cpu && compute == DType::kF16 ? DType::kF32 : compute;
  double best = 0.0, t = 0.0;
  // Larger ones as long as one of them fits into the time.
  for (int64_t n = 512; n <= 8192 && 8.0 * t < seconds; n *= 2) {
    RandomMemory memory(stream);
    const Tensor c = memory.Make({n, n}, dtype), a = memory.Make({n, n}, dtype),
                 b = memory.Make({n, n}, dtype);
    t = FastestSeconds(stream, seconds / 3, [&] {
      Matmul(stream, {.c = c, .a = a, .b = b, .trans_b = Transpose::kYes});
    });
    best = std::max(best, MatmulFlops(n, n, n) / t);
  }
  return best;
}

CopyRate MeasureCopyRate(Stream& stream, int64_t room, double seconds) {
  CopyRate rate;
  // Larger ones as long as ten copies of them fit into the time, and both ends into the room.
  for (int64_t bytes = int64_t{128} << 20; bytes <= int64_t{2} << 30; bytes *= 2) {
    if (rate.bytes > 0 && 2 * bytes > room) break;
    RandomMemory memory(stream);
    const Shape shape = {bytes / static_cast<int64_t>(sizeof(float))};
    const Tensor from = memory.Make(shape, DType::kF32), to = memory.Make(shape, DType::kF32);
    const double t =
        FastestSeconds(stream, seconds / 2, [&] { Convert(stream, {.dst = to, .src = from}); });
    rate = {.bytes_per_second = 2.0 * static_cast<double>(bytes) / t, .bytes = bytes};
    if (20.0 * t > seconds) break;
  }
  return rate;
}

AttentionRates MeasureAttention(Stream& stream, DType compute, const AttentionShape& shape,
                                double seconds) {
  const auto [batch, heads, kv_heads, length, d, mask] = shape;
  RandomMemory memory(stream);
  const auto like = [&](int64_t h) { return memory.Make({batch, length, h, d}, compute); };
  const Tensor q = like(heads), k = like(kv_heads), v = like(kv_heads), o = like(heads);
  const Tensor d_o = like(heads), dq = like(heads), dk = like(kv_heads), dv = like(kv_heads);
  const Tensor lse = memory.Make({batch, heads, length}, DType::kF32);
  const Tensor delta = memory.Make({batch, heads, length}, DType::kF32);
  const double forward = FastestSeconds(stream, seconds / 2, [&] {
    Attention(stream, {.o = o, .lse = lse, .q = q, .k = k, .v = v, .mask = {.kind = mask}});
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
                               .mask = {.kind = mask}});
  });
  const double keys = static_cast<double>(length) * (mask == MaskKind::kNone ? 1.0 : 0.5);
  const double flops = AttentionFlops(batch * length, heads, d, keys);
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
