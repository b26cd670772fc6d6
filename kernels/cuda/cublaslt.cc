// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cublaslt.h"

#include "device/cuda_library.h"

namespace tl::cuda {
namespace {

CublasLt Load() {
  CublasLt calls;
#if defined(TL_SIMT)
#define TL_CUBLASLT_LOAD(name) calls.name = &::name;
#else
  const Library& library = CublasLtLibrary();
  TL_CHECK(library.handle != nullptr) << "products on GPUs need cuBLASLt: " << library.absent;
#define TL_CUBLASLT_LOAD(name)                                             \
  calls.name = reinterpret_cast<decltype(&::name)>(library.Symbol(#name)); \
  TL_CHECK(calls.name != nullptr) << library.path << " has no " << #name;
#endif
  TL_CUBLASLT_CALLS(TL_CUBLASLT_LOAD)
#undef TL_CUBLASLT_LOAD
  return calls;
}

}  // namespace

const CublasLt& GetCublasLt() {
  static const auto* calls = new CublasLt(Load());
  return *calls;
}

}  // namespace tl::cuda
