// SPDX-License-Identifier: Apache-2.0
// Attention on CUDA devices: the choice of a path.
#include "kernels/attention.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cuda/attention_params.h"

namespace tl::cuda {
namespace {

AttentionView View(const Tensor& x) { return {x.data, x.strides[0], x.strides[1], x.strides[2]}; }

DeviceMask MaskOf(const AttentionMask& mask, const Tensor& q, const Tensor& k) {
  const bool segments = static_cast<bool>(mask.q_segments);
  return {.kind = mask.kind,
          .tq = static_cast<int>(q.shape[1]),
          .tk = static_cast<int>(k.shape[1]),
          .offset = mask.q_start - mask.k_start,
          .window = mask.window,
          .q_segments = segments ? mask.q_segments.as<int32_t>() : nullptr,
          .k_segments = segments ? mask.k_segments.as<int32_t>() : nullptr};
}

// What both passes' arguments share: the sizes, the mask and the inputs' views.
template <class Params, class Args>
Params ParamsOf(const Args& args) {
  const Tensor& q = args.q;
  const Tensor& k = args.k;
  // Room for tiles beyond the end.
  constexpr int64_t kLongest = std::numeric_limits<int32_t>::max() - 1024;
  TL_CHECK(q.shape[1] <= kLongest && k.shape[1] <= kLongest);

  Params p{};
  p.batch = static_cast<int>(q.shape[0]);
  p.q_heads = static_cast<int>(q.shape[2]);
  p.k_heads = static_cast<int>(k.shape[2]);
  p.d = static_cast<int>(q.shape[3]);
  p.scale = args.scale != 0.0f ? args.scale : 1.0f / std::sqrt(static_cast<float>(p.d));
  p.mask = MaskOf(args.mask, q, k);
  p.q = View(q);
  p.k = View(k);
  p.v = View(args.v);
  p.o = View(args.o);
  p.lse = args.lse.template as<float>();
  return p;
}

BackwardParams BackwardParamsOf(const AttentionBackwardArgs& args) {
  auto p = ParamsOf<BackwardParams>(args);
  p.d_o = View(args.d_o);
  p.dq = View(args.dq);
  p.dk = View(args.dk);
  p.dv = View(args.dv);
  p.delta = args.delta.as<float>();
  return p;
}

// Whether tensor cores' copies can read and write the views.
template <class... Views>
bool Aligned(const Views&... views) {
  return (views.Aligned(2) && ...);
}
bool FitsMma(DType dtype, const ForwardParams& p) {
  return dtype != DType::kF32 && Aligned(p.o, p.q, p.k, p.v);
}
bool FitsMma(DType dtype, const BackwardParams& p) {
  return dtype != DType::kF32 && Aligned(p.dq, p.dk, p.dv, p.d_o, p.o, p.q, p.k, p.v);
}

}  // namespace

bool FitsSharedMemory(size_t bytes) {
  int device = 0, most = 0;
  TL_CHECK(cudaGetDevice(&device) == cudaSuccess);
  TL_CHECK(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) ==
           cudaSuccess);
  return bytes <= static_cast<size_t>(most);
}

// A path of one architecture alone comes before those below.
void Attention(Stream& stream, const AttentionArgs& args) {
  auto p = ParamsOf<ForwardParams>(args);
  p.factor = std::abs(p.scale) * std::numbers::log2e_v<float>;
  if (p.batch == 0 || p.mask.tq == 0 || p.q_heads == 0) return;
  const DType dtype = args.q.dtype;
  if (FitsMma(dtype, p) && AttentionForwardMma(stream, p, dtype)) return;
  AttentionForwardPlain(stream, p, dtype);
}

void AttentionBackward(Stream& stream, const AttentionBackwardArgs& args) {
  const auto p = BackwardParamsOf(args);
  if (p.batch == 0 || p.q_heads == 0) return;
  const DType dtype = args.q.dtype;
  if (FitsMma(dtype, p) && AttentionBackwardMma(stream, p, dtype)) return;
  AttentionBackwardPlain(stream, p, dtype);
}

std::optional<AttentionLaunch> LaunchOf(const AttentionBackwardArgs& args) {
  const auto p = BackwardParamsOf(args);
  if (!FitsMma(args.q.dtype, p)) return std::nullopt;
  return BackwardMmaLaunch(p, args.q.dtype);
}

}  // namespace tl::cuda
