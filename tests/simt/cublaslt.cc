// A stand-in for the calls of cuBLASLt that are used: its documented column-major semantics in
// plain loops, at the stream's own time, and its rules kept more strictly than it does itself. An
// algorithm serves the very problem, alignments and workspace that it was found for.
#include <cublasLt.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "device/dtype.h"
#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"

namespace tl::simt {
namespace {

constexpr uint64_t kMagic = 0x626c61736c74;
constexpr uint64_t kWorkspaceAlignment = 256;

struct Operation {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t ld;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t align[4] = {256, 256, 256, 256};
};
struct Algorithm {
  uint64_t magic, problem, workspace;
  uint32_t align[4];
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

template <class T, class Opaque>
T& As(Opaque* opaque) {
  return *reinterpret_cast<T*>(opaque);
}

size_t Size(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

// What an algorithm is found for.
struct Problem {
  Operation op;
  Layout a, b, c, d;

  uint64_t m() const { return d.rows; }
  uint64_t n() const { return d.columns; }
  uint64_t k() const { return op.transpose_a == CUBLAS_OP_N ? a.columns : a.rows; }

  std::string Wrong() const {
    const bool ta = op.transpose_a == CUBLAS_OP_T, tb = op.transpose_b == CUBLAS_OP_T;
    if ((ta ? a.columns : a.rows) != m() || (tb ? b.columns : b.rows) != k() ||
        (tb ? b.rows : b.columns) != n() || c.rows != m() || c.columns != n())
      return "shapes do not match";
    if (m() == 0 || n() == 0 || k() == 0) return "an empty matrix";
    for (const Layout* x : {&a, &b, &c, &d})
      if (x->ld < static_cast<int64_t>(x->rows)) return "a leading dimension less than the rows";
    if (op.compute != CUBLAS_COMPUTE_32F || op.scale != CUDA_R_32F) return "sums not in fp32";
    if (a.type != b.type || c.type != d.type || (d.type != a.type && d.type != CUDA_R_32F))
      return "types that do not go together";
    if (a.type != CUDA_R_32F && a.type != CUDA_R_16F && a.type != CUDA_R_16BF)
      return "an unknown type";
    if (op.epilogue != CUBLASLT_EPILOGUE_DEFAULT && op.epilogue != CUBLASLT_EPILOGUE_BIAS)
      return "an unknown epilogue";
    if (op.epilogue == CUBLASLT_EPILOGUE_BIAS &&
        (op.bias == nullptr || reinterpret_cast<uintptr_t>(op.bias) % 16 != 0))
      return "a bias that is not aligned to 16 bytes";
    return "";
  }
  uint64_t Hash() const {
    uint64_t h = 1469598103934665603u;
    const auto mix = [&h](uint64_t x) { h = (h ^ x) * 1099511628211u; };
    for (const Layout* x : {&a, &b, &c, &d}) {
      for (const uint64_t y :
           {static_cast<uint64_t>(x->type), x->rows, x->columns, static_cast<uint64_t>(x->ld)})
        mix(y);
    }
    mix(static_cast<uint64_t>(op.transpose_a));
    mix(static_cast<uint64_t>(op.transpose_b));
    mix(op.epilogue);
    return h;
  }
};

void CheckMemory(const char* what, const void* data, uint64_t bytes) {
  const Allocation* found = FindAllocation(data);
  const auto* begin = static_cast<const std::byte*>(data);
  if (found == nullptr || begin + bytes > found->data + found->bytes)
    Report(std::string("cublasLtMatmul: ") + what +
           " is not inside of an allocation: " + std::to_string(bytes) + " bytes");
}

void CheckMatrix(const char* what, const void* data, const Layout& x) {
  const uint64_t elements = (x.columns - 1) * static_cast<uint64_t>(x.ld) + x.rows;
  CheckMemory(what, data, elements * Size(x.type));
}

float Load(const void* data, cudaDataType_t type, uint64_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[i];
  if (type == CUDA_R_16BF) return ToFloat(static_cast<const BF16*>(data)[i]);
  return ToFloat(static_cast<const F16*>(data)[i]);
}

void Store(void* data, cudaDataType_t type, uint64_t i, float x) {
  if (type == CUDA_R_32F) static_cast<float*>(data)[i] = x;
  if (type == CUDA_R_16BF) static_cast<BF16*>(data)[i] = FromFloat<BF16>(x);
  if (type == CUDA_R_16F) static_cast<F16*>(data)[i] = FromFloat<F16>(x);
}

// Sums of 32 products each, added up in order, as tiles are.
void Multiply(const Problem& p, float alpha, const void* a, const void* b, float beta,
              const void* c, void* d) {
  const uint64_t m = p.m(), n = p.n(), k = p.k();
  const bool ta = p.op.transpose_a == CUBLAS_OP_T, tb = p.op.transpose_b == CUBLAS_OP_T;
  const auto lda = static_cast<uint64_t>(p.a.ld), ldb = static_cast<uint64_t>(p.b.ld);
  std::vector<float> wide(k * m), sum(m), part(m);
  for (uint64_t l = 0; l < k; ++l)
    for (uint64_t i = 0; i < m; ++i)
      wide[l * m + i] = Load(a, p.a.type, ta ? i * lda + l : l * lda + i);
  for (uint64_t j = 0; j < n; ++j) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (uint64_t first = 0; first < k; first += 32) {
      std::fill(part.begin(), part.end(), 0.0f);
      for (uint64_t l = first; l < std::min(k, first + 32); ++l) {
        const float x = Load(b, p.b.type, tb ? l * ldb + j : j * ldb + l);
        const float* row = &wide[l * m];
        for (uint64_t i = 0; i < m; ++i) part[i] += row[i] * x;
      }
      for (uint64_t i = 0; i < m; ++i) sum[i] += part[i];
    }
    for (uint64_t i = 0; i < m; ++i) {
      float value = alpha * sum[i];
      if (beta != 0.0f) value += beta * Load(c, p.c.type, j * static_cast<uint64_t>(p.c.ld) + i);
      if (p.op.epilogue == CUBLASLT_EPILOGUE_BIAS) value += Load(p.op.bias, p.d.type, i);
      Store(d, p.d.type, j * static_cast<uint64_t>(p.d.ld) + i, value);
    }
  }
}

cublasStatus_t Refuse(const std::string& why) {
  Report("cublasLtMatmul: " + why);
  return CUBLAS_STATUS_INVALID_VALUE;
}

template <class T>
cublasStatus_t Assign(T& to, const void* from, size_t bytes) {
  if (from == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace tl::simt

using namespace tl::simt;  // the calls are C's

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static char one;
  *handle = reinterpret_cast<cublasLtHandle_t>(&one);
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "success"
         : status == CUBLAS_STATUS_INVALID_VALUE ? "an unsupported value was passed"
                                                 : "the operation is not supported";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *desc = reinterpret_cast<cublasLtMatmulDesc_t>(new Operation{compute, scale});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  auto& op = As<Operation>(desc);
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) return Assign(op.transpose_a, value, bytes);
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSB) return Assign(op.transpose_b, value, bytes);
  if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) return Assign(op.epilogue, value, bytes);
  if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) return Assign(op.bias, value, bytes);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t ld) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, ld});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete &As<Preference>(preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  auto& p = As<Preference>(preference);
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    return Assign(p.workspace, value, bytes);
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    return Assign(p.reductions, value, bytes);
  const int matrix = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  if (matrix < 0 || matrix > 3) return CUBLAS_STATUS_NOT_SUPPORTED;
  return Assign(p.align[matrix], value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  const Problem problem = {As<Operation>(desc), As<Layout>(a), As<Layout>(b), As<Layout>(c),
                           As<Layout>(d)};
  const auto& p = As<Preference>(preference);
  *found = 0;
  if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
  if (const std::string wrong = problem.Wrong(); !wrong.empty()) return Refuse(wrong);
  Algorithm algorithm = {kMagic, problem.Hash(), std::min<uint64_t>(p.workspace, 4096), {}};
  for (int i = 0; i < 4; ++i) algorithm.align[i] = p.align[i];
  results[0] = {};
  std::memcpy(&results[0].algo, &algorithm, sizeof(algorithm));
  results[0].workspaceSize = algorithm.workspace;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  const Problem problem = {As<Operation>(desc), As<Layout>(a_layout), As<Layout>(b_layout),
                           As<Layout>(c_layout), As<Layout>(d_layout)};
  if (const std::string wrong = problem.Wrong(); !wrong.empty()) return Refuse(wrong);
  const auto& algorithm = As<const Algorithm>(algo);
  if (algorithm.magic != kMagic || algorithm.problem != problem.Hash())
    return Refuse("an algorithm that was found for another product");
  const void* matrices[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    if (reinterpret_cast<uintptr_t>(matrices[i]) % algorithm.align[i] != 0)
      return Refuse(std::string("matrix ") + "ABCD"[i] + " is not aligned as its algorithm needs");
  }
  if (workspace_bytes < algorithm.workspace ||
      reinterpret_cast<uintptr_t>(workspace) % kWorkspaceAlignment != 0)
    return Refuse("the workspace is too small or not aligned to 256 bytes");
  const float one = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  Push(stream, {.run =
                    [=] {
                      CheckMatrix("A", a, problem.a);
                      CheckMatrix("B", b, problem.b);
                      CheckMatrix("C", c, problem.c);
                      CheckMatrix("D", d, problem.d);
                      if (problem.op.epilogue == CUBLASLT_EPILOGUE_BIAS)
                        CheckMemory("the bias", problem.op.bias,
                                    problem.m() * Size(problem.d.type));
                      if (workspace_bytes > 0) {
                        CheckMemory("the workspace", workspace, workspace_bytes);
                        std::memset(workspace, 0xff, workspace_bytes);
                      }
                      Multiply(problem, one, a, b, kept, c, d);
                    },
                .after = nullptr});
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
