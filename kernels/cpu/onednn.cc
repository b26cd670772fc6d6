// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/onednn.h"

#include "base/check.h"
#include "device/device.h"
#include "kernels/cpu_products.h"

namespace tl::cpu {

const dnnl::engine& OneDnnEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::data_type OneDnnType(DType dtype) {
  TL_CHECK(dtype == DType::kF32 || dtype == DType::kBF16) << "oneDNN product of " << Name(dtype);
  return dtype == DType::kBF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

dnnl::matmul::primitive_desc DescribeProduct(const dnnl::memory::desc& a,
                                             const dnnl::memory::desc& b,
                                             const dnnl::memory::desc& bias,
                                             const dnnl::memory::desc& c,
                                             const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {OneDnnEngine(), a, b, bias, c, attr};
#else
  return {dnnl::matmul::desc(a, b, bias, c), attr, OneDnnEngine()};
#endif
}

DType ProductType(DType dtype) {
  return dtype == DType::kBF16 && GetCpuProducts().bf16 ? DType::kBF16 : DType::kF32;
}

}  // namespace tl::cpu
