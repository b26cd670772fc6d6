// What every user of oneDNN here shares.
#pragma once

#include <dnnl.hpp>

#include "device/dtype.h"

namespace tl::cpu {

const dnnl::engine& OneDnnEngine();
// fp32 or bf16.
dnnl::memory::data_type OneDnnType(DType dtype);

// The type in which matrices of `dtype` are multiplied, sums in fp32: bf16 where the machine has
// bf16 products, else fp32. oneDNN of today's distributions has no fp16 on CPUs, and no bf16 at all
// without AVX-512.
DType ProductType(DType dtype);

}  // namespace tl::cpu
