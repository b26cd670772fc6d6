// SPDX-License-Identifier: Apache-2.0
// TL_DECLARE_OP(Name) declares one op on every backend and the call that checks the arguments and
// picks by the stream's device: Name(stream, {.y = y, .x = x}) with NameArgs as its arguments.
// CheckArgs, in the .cc beside the op's header, ends the program where they break what the header
// asks for; what one backend alone needs, it checks itself.
#pragma once

#include "base/check.h"
#include "device/device.h"
#include "device/tensor.h"

#if defined(TL_WITH_CUDA)
#define TL_DISPATCH_CUDA_(Op) \
  if (stream.device().type == DeviceType::kCuda) return cuda::Op(stream, args);
#else
#define TL_DISPATCH_CUDA_(Op) \
  TL_CHECK(stream.device().type == DeviceType::kCpu) << "built without CUDA";
#endif

#define TL_DECLARE_OP(Op)                                \
  namespace cpu {                                        \
  void Op(Stream& stream, const Op##Args& args);         \
  }                                                      \
  namespace cuda {                                       \
  void Op(Stream& stream, const Op##Args& args);         \
  }                                                      \
  void CheckArgs(const Op##Args& args);                  \
  inline void Op(Stream& stream, const Op##Args& args) { \
    CheckArgs(args);                                     \
    TL_DISPATCH_CUDA_(Op)                                \
    cpu::Op(stream, args);                               \
  }                                                      \
  static_assert(true)
