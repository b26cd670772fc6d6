// SPDX-License-Identifier: Apache-2.0
// cuBLASLt's calls that the product makes, after its documentation: matrices are column-major,
// D = alpha op(A) op(B) + beta C (+ a bias for each row), summed in fp32, or of 16-bit factors as
// CurrentMmaSums() says. Attributes that nobody sets keep their defaults; those that are not known
// here are refused. There are several ways to make a product, which differ in how they cut its
// sums.
#include <cublasLt.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "device/dtype.h"
#include "tests/simt/driver.h"
#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"
#include "tests/simt/tensor_core.h"

namespace tl::simt {
namespace {

struct Desc {
  cublasOperation_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};

struct Layout {
  cudaDataType_t type;
  int64_t rows, columns, stride;
};

struct Preference {
  uint64_t workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

// A way to make a product: its sums are cut into parts, which meet by a scheme.
struct Algorithm {
  int32_t id, tile, parts;
  uint32_t reduction;
};
// The best first.
constexpr Algorithm kAlgorithms[] = {{21, 18, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
                                     {66, 20, 2, CUBLASLT_REDUCTION_SCHEME_INPLACE},
                                     {21, 20, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
                                     {24, 18, 3, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE},
                                     {24, 18, 3, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE},
                                     {24, 18, 2, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}};

// Counters, and the parts that do not lie in D.
size_t Workspace(const Algorithm& algorithm, int64_t m, int64_t n) {
  const bool beside = algorithm.reduction == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE ||
                      algorithm.reduction == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  return 256 + (beside ? static_cast<size_t>(algorithm.parts * m * n) * sizeof(float) : 0);
}

// What the twin's algorithm was chosen for; lies in the opaque algorithm.
struct Chosen {
  uint32_t magic;
  uint32_t alignment[4];
  Algorithm algorithm;
};
constexpr uint32_t kMagic = 0x71747364;

template <class T>
T* From(void* opaque) {
  return static_cast<T*>(opaque);
}

float Load(const void* data, cudaDataType_t type, int64_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[i];
  if (type == CUDA_R_16BF) return ToFloat(static_cast<const BF16*>(data)[i]);
  return ToFloat(static_cast<const F16*>(data)[i]);
}

void Store(void* data, cudaDataType_t type, int64_t i, float value) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(data)[i] = value;
  } else if (type == CUDA_R_16BF) {
    static_cast<BF16*>(data)[i] = FromFloat<BF16>(value);
  } else {
    static_cast<F16*>(data)[i] = FromFloat<F16>(value);
  }
}

float Rounded(cudaDataType_t type, float value) {
  if (type == CUDA_R_16BF) return ToFloat(FromFloat<BF16>(value));
  return type == CUDA_R_16F ? ToFloat(FromFloat<F16>(value)) : value;
}

size_t Bytes(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

bool Known(cudaDataType_t type) {
  return type == CUDA_R_32F || type == CUDA_R_16BF || type == CUDA_R_16F;
}

int64_t WholeBlocks(int64_t terms) {
  return (terms + kBlockProducts - 1) / kBlockProducts * kBlockProducts;
}

// A as rows of fp32, transposed where asked, each followed by zeros up to a whole block.
std::vector<float> Gather(const void* data, const Layout& x, bool rows_first) {
  const int64_t rows = rows_first ? x.rows : x.columns;
  const int64_t width = WholeBlocks(rows_first ? x.columns : x.rows);
  std::vector<float> out(rows * width);
  for (int64_t c = 0; c < x.columns; ++c)
    for (int64_t r = 0; r < x.rows; ++r)
      out[rows_first ? r * width + c : c * width + r] = Load(data, x.type, c * x.stride + r);
  return out;
}

struct Operands {
  Desc desc;
  Layout a, b, c, d;
  float alpha, beta;
  const void *pa, *pb, *pc;
  void* pd;
  Algorithm algorithm;
};

void Multiply(const Operands& x) {
  const int64_t parts = x.algorithm.parts;
  const bool wide = parts == 1 || x.algorithm.reduction == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const auto kept = [&](float value) { return wide ? value : Rounded(x.d.type, value); };
  const bool ta = x.desc.op_a != CUBLAS_OP_N, tb = x.desc.op_b != CUBLAS_OP_N;
  const int64_t m = x.d.rows, n = x.d.columns, k = ta ? x.a.rows : x.a.columns;
  const std::vector<float> a = Gather(x.pa, x.a, !ta), b = Gather(x.pb, x.b, tb);
  const int64_t width = WholeBlocks(k), blocks = width / kBlockProducts;
  const bool truncates = x.a.type != CUDA_R_32F && CurrentMmaSums() == MmaSums::kTruncated;
  const int smallest = x.a.type == CUDA_R_16F ? -14 : -126;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      float sum = 0;
      const float *const row = &a[i * width], *const column = &b[j * width];
      for (int64_t p = 0; p < parts; ++p) {
        const int64_t begin = p * blocks / parts * kBlockProducts;
        const int64_t end = (p + 1) * blocks / parts * kBlockProducts;
        float part = 0;
        if (truncates) {
          for (int64_t l = begin; l < end; l += kBlockProducts)
            part = TensorCoreSum(part, row + l, column + l, smallest);
        } else {
          for (int64_t l = begin; l < std::min(end, k); ++l) part += row[l] * column[l];
        }
        sum = kept(sum + kept(part));
      }
      sum *= x.alpha;
      if (x.beta != 0) sum += x.beta * Load(x.pc, x.c.type, j * x.c.stride + i);
      if (x.desc.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += Load(x.desc.bias, x.d.type, i);
      Store(x.pd, x.d.type, j * x.d.stride + i, sum);
    }
  }
}

void CheckMatrix(const char* name, const void* data, const Layout& x, int device) {
  const std::string what = std::string("cublasLtMatmul: ") + name;
  const Allocation* allocation = FindAllocation(data);
  if (allocation == nullptr) return Report(what + " is not in device memory");
  if (!allocation->pinned_host && allocation->device != device)
    Report(what + " is memory " + OfDevice(allocation->device) + " in a product " +
           OfDevice(device));
  const size_t offset = static_cast<const std::byte*>(data) - allocation->data;
  const size_t bytes = ((x.columns - 1) * x.stride + x.rows) * Bytes(x.type);
  if (offset + bytes > allocation->bytes)
    Report(what + ": out of bounds by " + std::to_string(offset + bytes - allocation->bytes) +
           " bytes");
}

}  // namespace
}  // namespace tl::simt

using namespace tl::simt;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new char);
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_INVALID_VALUE";
  }
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = reinterpret_cast<cublasLtMatmulDesc_t>(new Desc);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  auto* desc = From<Desc>(opaque);
  const auto set = [&](auto& field) {
    if (bytes != sizeof(field)) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&field, value, sizeof(field));
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(desc->op_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(desc->op_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(desc->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(desc->bias);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t stride) {
  if (!Known(type) || rows == 0 || columns == 0 || stride < static_cast<int64_t>(rows))
    return CUBLAS_STATUS_INVALID_VALUE;
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(
      new Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), stride});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete From<Preference>(preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  auto* preference = From<Preference>(opaque);
  const int first = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES && bytes == sizeof(uint64_t)) {
    std::memcpy(&preference->workspace, value, bytes);
  } else if (attribute >= first && attribute < first + 4 && bytes == sizeof(uint32_t)) {
    std::memcpy(&preference->alignment[attribute - first], value, bytes);
  } else if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK && bytes == sizeof(uint32_t)) {
    std::memcpy(&preference->reductions, value, bytes);
  } else {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  *found = 0;
  if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
  const auto &la = *From<Layout>(a), &lb = *From<Layout>(b), &lc = *From<Layout>(c),
             &ld = *From<Layout>(d);
  if (la.type != lb.type || lc.type != ld.type || (ld.type != la.type && ld.type != CUDA_R_32F))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto& [workspace, reductions, alignment] = *From<Preference>(preference);
  const size_t sizes[4] = {Bytes(la.type), Bytes(lb.type), Bytes(lc.type), Bytes(ld.type)};
  Chosen chosen{kMagic, {}, {}};
  for (int i = 0; i < 4; ++i) {
    if (alignment[i] < sizes[i]) return CUBLAS_STATUS_NOT_SUPPORTED;
    chosen.alignment[i] = alignment[i];
  }
  const int64_t k = From<Desc>(desc)->op_a == CUBLAS_OP_N ? la.columns : la.rows;
  for (const Algorithm& algorithm : kAlgorithms) {
    const size_t bytes = Workspace(algorithm, ld.rows, ld.columns);
    const bool allowed = algorithm.reduction == 0 || (algorithm.reduction & reductions) != 0;
    if (!allowed || algorithm.parts > k || bytes > workspace || *found == wanted) continue;
    chosen.algorithm = algorithm;
    cublasLtMatmulHeuristicResult_t& result = results[(*found)++];
    result = {};
    std::memcpy(&result.algo, &chosen, sizeof(chosen));
    result.state = CUBLAS_STATUS_SUCCESS;
    result.workspaceSize = bytes;
  }
  return *found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void* value, size_t bytes, size_t* written) {
  Chosen chosen;
  std::memcpy(&chosen, algo, sizeof(chosen));
  if (chosen.magic != kMagic || bytes != sizeof(int32_t)) return CUBLAS_STATUS_INVALID_VALUE;
  *written = bytes;
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
      std::memcpy(value, &chosen.algorithm.id, bytes);
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      std::memcpy(value, &chosen.algorithm.tile, bytes);
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      std::memcpy(value, &chosen.algorithm.parts, bytes);
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      std::memcpy(value, &chosen.algorithm.reduction, bytes);
      return CUBLAS_STATUS_SUCCESS;
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t la, const void* b,
                              cublasLtMatrixLayout_t lb, const void* beta, const void* c,
                              cublasLtMatrixLayout_t lc, void* d, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t* algo, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  if (CheckLaunchStream("cublasLtMatmul", stream) != cudaSuccess)
    return CUBLAS_STATUS_EXECUTION_FAILED;
  const int device = DeviceOf(stream);
  Chosen chosen;
  std::memcpy(&chosen, algo, sizeof(chosen));
  if (chosen.magic != kMagic) return CUBLAS_STATUS_INVALID_VALUE;
  const Operands x{*From<Desc>(desc),
                   *From<Layout>(la),
                   *From<Layout>(lb),
                   *From<Layout>(lc),
                   *From<Layout>(ld),
                   *static_cast<const float*>(alpha),
                   *static_cast<const float*>(beta),
                   a,
                   b,
                   c,
                   d,
                   chosen.algorithm};
  const bool ta = x.desc.op_a != CUBLAS_OP_N, tb = x.desc.op_b != CUBLAS_OP_N;
  if ((ta ? x.a.columns : x.a.rows) != x.d.rows || (tb ? x.b.rows : x.b.columns) != x.d.columns ||
      (ta ? x.a.rows : x.a.columns) != (tb ? x.b.columns : x.b.rows) || x.c.rows != x.d.rows ||
      x.c.columns != x.d.columns)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes < Workspace(x.algorithm, x.d.rows, x.d.columns)) {
    Report("cublasLtMatmul: a workspace of " + std::to_string(workspace_bytes) +
           " bytes, too little for the algorithm");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const void* const data[4] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    if (reinterpret_cast<uintptr_t>(data[i]) % chosen.alignment[i] != 0) {
      Report("misaligned: cublasLtMatmul with an algorithm chosen for operands aligned to " +
             std::to_string(chosen.alignment[i]) + " bytes");
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  const Layout* const layouts[4] = {&x.a, &x.b, &x.c, &x.d};
  const char* const names[4] = {"A", "B", "C", "D"};
  for (int i = 0; i < 4; ++i) CheckMatrix(names[i], data[i], *layouts[i], device);
  if (x.desc.epilogue == CUBLASLT_EPILOGUE_BIAS)
    CheckMatrix("the bias", x.desc.bias, {x.d.type, x.d.rows, 1, x.d.rows}, device);
  if (Recorded({.m = x.d.rows,
                .n = x.d.columns,
                .k = ta ? x.a.rows : x.a.columns,
                .factor_bytes = static_cast<int64_t>(Bytes(x.a.type)),
                .sum_bytes = static_cast<int64_t>(Bytes(x.d.type)),
                .adds = x.beta != 0}))
    return CUBLAS_STATUS_SUCCESS;
  Push(stream, {[=] {
                  // Whatever lay in the workspace is lost.
                  if (workspace != nullptr) std::memset(workspace, 0xff, workspace_bytes);
                  Multiply(x);
                },
                {}});
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
