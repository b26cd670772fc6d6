// SPDX-License-Identifier: Apache-2.0
// What every user of oneDNN here shares.
#pragma once

#include <dnnl.hpp>

#include "device/dtype.h"

namespace tl::cpu {

const dnnl::engine& OneDnnEngine();
// fp32 or bf16.
dnnl::memory::data_type OneDnnType(DType dtype);

// Describes the product c = a b + bias; an empty bias adds none. oneDNN 2 builds it in two steps,
// oneDNN 3 in one.
dnnl::matmul::primitive_desc DescribeProduct(const dnnl::memory::desc& a,
                                             const dnnl::memory::desc& b,
                                             const dnnl::memory::desc& bias,
                                             const dnnl::memory::desc& c,
                                             const dnnl::primitive_attr& attr);

// The type in which matrices of `dtype` are multiplied, sums in fp32: bf16 where oneDNN has bf16
// products here, else fp32. fp16 is multiplied in fp32 everywhere: oneDNN 2 has no fp16 products on
// CPUs, and those of oneDNN 3 are not used.
DType ProductType(DType dtype);

}  // namespace tl::cpu
