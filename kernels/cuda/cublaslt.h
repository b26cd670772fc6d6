// SPDX-License-Identifier: Apache-2.0
// The calls of cuBLASLt that are used here, found when the first product is made.
#pragma once

#include <cublasLt.h>

#include "base/check.h"

namespace tl::cuda {

#define TL_CUBLASLT_CALLS(X)              \
  X(cublasLtCreate)                       \
  X(cublasLtGetStatusString)              \
  X(cublasLtMatmul)                       \
  X(cublasLtMatmulAlgoConfigGetAttribute) \
  X(cublasLtMatmulAlgoGetHeuristic)       \
  X(cublasLtMatmulDescCreate)             \
  X(cublasLtMatmulDescSetAttribute)       \
  X(cublasLtMatmulPreferenceCreate)       \
  X(cublasLtMatmulPreferenceDestroy)      \
  X(cublasLtMatmulPreferenceSetAttribute) \
  X(cublasLtMatrixLayoutCreate)

struct CublasLt {
#define TL_CUBLASLT_MEMBER(name) decltype(&::name) name = nullptr;
  TL_CUBLASLT_CALLS(TL_CUBLASLT_MEMBER)
#undef TL_CUBLASLT_MEMBER
};

// Ends the program with a clear message where there is no cuBLASLt.
const CublasLt& GetCublasLt();

}  // namespace tl::cuda

#define TL_CHECK_CUBLASLT(call)                                                                   \
  if (const cublasStatus_t tl_status_ = (call); tl_status_ == CUBLAS_STATUS_SUCCESS) [[likely]] { \
  } else                                                                                          \
    ::tl::internal::CheckFailure(__FILE__, __LINE__, #call).stream()                              \
        << ::tl::cuda::GetCublasLt().cublasLtGetStatusString(tl_status_) << " "
