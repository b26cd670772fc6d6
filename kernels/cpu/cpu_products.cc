// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu_products.h"

#include <oneapi/dnnl/dnnl.h>

#include "absl/strings/str_cat.h"

namespace tl {
namespace internal {
namespace {

// Instruction sets as dnnl_cpu_isa_t writes them: a set has the bits of all that it includes. Some
// names are oneDNN 3's alone.
constexpr unsigned kAvx2 = 0x7, kAvx512 = 0x27, kBf16 = 0xe7, kAmx2 = 0x3e7;
constexpr unsigned kAvx2Converts = 0x1f, kFp16 = 0x1ef, kAmx3 = 0xfef, kAmxFp16 = 0x1fef;

const char* IsaName(int major, unsigned isa) {
  const auto has = [&](unsigned all) { return (isa & all) == all; };
  if (isa == 0) return "what it finds";  // no x86
  if (major >= 3) {
    if (has(kAmxFp16)) return "AMX with fp16";
    if (has(kAmx3)) return "AMX";
    if (has(kFp16)) return "AVX-512 with bf16 and fp16";
  } else if (has(kAmx2)) {
    return "AMX";
  }
  if (has(kBf16)) return "AVX-512 with bf16";
  if (has(kAvx512)) return "AVX-512";
  if (major >= 3 && has(kAvx2Converts)) return "AVX2 with conversions of bf16 and fp16";
  return has(kAvx2) ? "AVX2" : "older than AVX2";
}

}  // namespace

CpuProducts DescribeOneDnn(int major, int minor, int patch, unsigned isa) {
  return {.version = absl::StrCat(major, ".", minor, ".", patch),
          .isa = IsaName(major, isa),
          .bf16 = (isa & kBf16) == kBf16,
          .fp16 = major >= 3 && (isa & kFp16) == kFp16};
}

}  // namespace internal

const CpuProducts& GetCpuProducts() {
  static const CpuProducts products = [] {
    const dnnl_version_t* version = dnnl_version();
    return internal::DescribeOneDnn(version->major, version->minor, version->patch,
                                    static_cast<unsigned>(dnnl_get_effective_cpu_isa()));
  }();
  return products;
}

}  // namespace tl
