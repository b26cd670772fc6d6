// Products by cuBLASLt. It thinks in columns: our row-major C is its C^T, so C^T = op(B)^T op(A)^T
// is asked for, with B first and the same transpositions.
#include "kernels/matmul.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "device/cuda.h"
#include "device/cuda_check.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/elementwise.h"

namespace tl::cuda {
namespace {

constexpr size_t kAlignment = 256;  // of cudaMalloc

// All that an algorithm is chosen for. Alignments are those of the pointers, 1 to kAlignment bytes.
struct Key {
  int64_t m, n, k, lda, ldb, ldc;
  uint16_t align_a, align_b, align_c;
  uint8_t device, trans_a, trans_b, in_type, out_type, has_bias, has_beta;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const {
    uint64_t h = 0;
    const auto mix = [&h](uint64_t x) { h = (h ^ x) * 0x9E3779B97F4A7C15u, h ^= h >> 29; };
    for (const int64_t x : {key.m, key.n, key.k, key.lda, key.ldb, key.ldc})
      mix(static_cast<uint64_t>(x));
    mix(uint64_t{key.align_a} | uint64_t{key.align_b} << 16 | uint64_t{key.align_c} << 32);
    mix(uint64_t{key.device} | uint64_t{key.trans_a} << 8 | uint64_t{key.trans_b} << 16 |
        uint64_t{key.in_type} << 24 | uint64_t{key.out_type} << 32 | uint64_t{key.has_bias} << 40 |
        uint64_t{key.has_beta} << 48);
    return h;
  }
};

struct Product {
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  size_t workspace = 0;
};

cudaDataType_t CudaType(DType dtype) {
  TL_CHECK(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16) << Name(dtype);
  return dtype == DType::kF32 ? CUDA_R_32F : dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_16F;
}

// One handle per device; it belongs to the device that is current when it is made.
cublasLtHandle_t Blas(int device) {
  static auto* handles = new std::unordered_map<int, cublasLtHandle_t>;
  cublasLtHandle_t& handle = (*handles)[device];
  if (handle != nullptr) return handle;
  TL_CHECK_CUBLASLT(GetCublasLt().cublasLtCreate(&handle));
  return handle;
}

template <typename T>
void Set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  TL_CHECK_CUBLASLT(
      GetCublasLt().cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)));
}

void Set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         auto value) {
  TL_CHECK_CUBLASLT(GetCublasLt().cublasLtMatmulPreferenceSetAttribute(preference, attribute,
                                                                       &value, sizeof(value)));
}

cublasLtMatrixLayout_t Layout(DType dtype, int64_t rows, int64_t columns, int64_t stride) {
  cublasLtMatrixLayout_t layout;
  // Ours are rows, its are columns.
  TL_CHECK_CUBLASLT(GetCublasLt().cublasLtMatrixLayoutCreate(&layout, CudaType(dtype),
                                                             static_cast<uint64_t>(columns),
                                                             static_cast<uint64_t>(rows), stride));
  return layout;
}

Product MakeProduct(const Key& key, const void* bias) {
  const CublasLt& blas = GetCublasLt();
  const auto in = static_cast<DType>(key.in_type), out = static_cast<DType>(key.out_type);
  Product product;
  TL_CHECK_CUBLASLT(blas.cublasLtMatmulDescCreate(&product.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Set(product.desc, CUBLASLT_MATMUL_DESC_TRANSA, key.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  Set(product.desc, CUBLASLT_MATMUL_DESC_TRANSB, key.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (key.has_bias) {
    Set(product.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    Set(product.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  product.a = key.trans_a ? Layout(in, key.k, key.m, key.lda) : Layout(in, key.m, key.k, key.lda);
  product.b = key.trans_b ? Layout(in, key.n, key.k, key.ldb) : Layout(in, key.k, key.n, key.ldb);
  product.c = Layout(out, key.m, key.n, key.ldc);

  cublasLtMatmulPreference_t preference;
  TL_CHECK_CUBLASLT(blas.cublasLtMatmulPreferenceCreate(&preference));
  Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kMatmulWorkspace});
  // Split sums meet in fp32 and in a fixed order: rounded once, the same bits each time.
  Set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{key.align_b});
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t{key.align_a});
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t{key.align_c});
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t{key.align_c});
  cublasLtMatmulHeuristicResult_t result;
  int found = 0;
  const cublasStatus_t status =
      blas.cublasLtMatmulAlgoGetHeuristic(Blas(key.device), product.desc, product.b, product.a,
                                          product.c, product.c, preference, 1, &result, &found);
  TL_CHECK(status == CUBLAS_STATUS_SUCCESS && found > 0 && result.state == CUBLAS_STATUS_SUCCESS)
      << "cuBLASLt has no product [" << key.m << ", " << key.k << "] x [" << key.k << ", " << key.n
      << "] of " << Name(in) << " into " << Name(out) << ", row strides " << key.lda << ", "
      << key.ldb << ", " << key.ldc << ": " << blas.cublasLtGetStatusString(status);
  TL_CHECK_CUBLASLT(blas.cublasLtMatmulPreferenceDestroy(preference));
  product.algorithm = result.algo;
  product.workspace = result.workspaceSize;
  return product;
}

// As long as the program: the cache ends with it, perhaps after CUDA.
Product& FindProduct(const Key& key, const void* bias) {
  static auto* cache = new std::unordered_map<Key, Product, KeyHash>;
  const auto it = cache->find(key);
  return it != cache->end() ? it->second
                            : cache->emplace(key, MakeProduct(key, bias)).first->second;
}

uint16_t Alignment(const Tensor& x) {
  const auto address = reinterpret_cast<uintptr_t>(x.data);
  return static_cast<uint16_t>(std::min<uintptr_t>(address & (~address + 1), kAlignment));
}

}  // namespace

void Matmul(Stream& stream, const MatmulArgs& args) {
  const bool ta = args.trans_a == Transpose::kYes, tb = args.trans_b == Transpose::kYes;
  const int64_t m = args.c.shape[0], n = args.c.shape[1], k = args.a.shape[ta ? 0 : 1];
  if (m == 0 || n == 0) return;
  TL_CHECK_LT(0, k) << "an empty sum";
  const cudaStream_t queue = Handle(stream);

  // The epilogue adds a bias of C's type at a place that any algorithm can read from.
  Tensor bias = args.bias;
  size_t front = 0;
  if (bias && (bias.dtype != args.c.dtype || Alignment(bias) < 16)) {
    bias.dtype = args.c.dtype;
    front = (static_cast<size_t>(bias.bytes()) + kAlignment - 1) / kAlignment * kAlignment;
    bias.data = nullptr;
  }
  const Key key = {m,
                   n,
                   k,
                   args.a.strides[0],
                   args.b.strides[0],
                   args.c.strides[0],
                   Alignment(args.a),
                   Alignment(args.b),
                   Alignment(args.c),
                   static_cast<uint8_t>(stream.device().index),
                   ta,
                   tb,
                   static_cast<uint8_t>(args.a.dtype),
                   static_cast<uint8_t>(args.c.dtype),
                   static_cast<bool>(args.bias),
                   args.beta != 0.0f};
  if (front > 0) bias.data = stream.Scratch(front);
  Product& product = FindProduct(key, bias.data);
  std::byte* scratch = stream.Scratch(front + product.workspace);
  if (front > 0) {
    bias.data = scratch;
    cuda::Convert(stream, {.dst = bias, .src = args.bias});
  }
  if (args.bias)
    Set(product.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias.data));
  const float one = 1.0f;
  TL_CHECK_CUBLASLT(GetCublasLt().cublasLtMatmul(
      Blas(stream.device().index), product.desc, &one, args.b.data, product.b, args.a.data,
      product.a, &args.beta, args.c.data, product.c, args.c.data, product.c, &product.algorithm,
      product.workspace > 0 ? scratch + front : nullptr, product.workspace, queue))
      << ToString(args.a.shape) << " " << ToString(args.b.shape) << " -> "
      << ToString(args.c.shape);
}

}  // namespace tl::cuda
