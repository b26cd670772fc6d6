// SPDX-License-Identifier: Apache-2.0
// What oneDNN, which multiplies matrices on CPUs, makes of this one.
#pragma once

#include <string>

namespace tl {

struct CpuProducts {
  std::string version;  // "2.6.3"
  std::string isa;      // the best that it uses, e.g. "AVX-512 with bf16"
  // Tells whether it multiplies in this type, with sums in fp32, rather than after a conversion.
  bool bf16 = false;
  bool fp16 = false;
};

// As ONEDNN_MAX_CPU_ISA leaves it.
const CpuProducts& GetCpuProducts();

namespace internal {
// isa: a dnnl_cpu_isa_t of that version.
CpuProducts DescribeOneDnn(int major, int minor, int patch, unsigned isa);
}  // namespace internal

}  // namespace tl
