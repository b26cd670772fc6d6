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

// The type in which matrices of `dtype` are multiplied, sums in fp32: bf16 where the machine has
// bf16 products, else fp32. oneDNN of today's distributions has no fp16 on CPUs, and no bf16 at all
// without AVX-512.
DType ProductType(DType dtype);

}  // namespace tl::cpu
