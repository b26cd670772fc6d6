// TL_DECLARE_CPU_OP(Name) declares an op that only CPUs have so far. It is no part of what a CUDA
// build must have to train, and ends the program where it is called on another device.
#pragma once

#include "base/check.h"
#include "device/device.h"
#include "device/tensor.h"

#define TL_DECLARE_CPU_OP(Op)                                                                 \
  namespace cpu {                                                                             \
  void Op(Stream& stream, const Op##Args& args);                                              \
  }                                                                                           \
  inline void Op(Stream& stream, const Op##Args& args) {                                      \
    TL_CHECK(stream.device().type == DeviceType::kCpu) << #Op << " runs on CPUs only so far"; \
    cpu::Op(stream, args);                                                                    \
  }                                                                                           \
  static_assert(true)
