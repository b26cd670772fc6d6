// SPDX-License-Identifier: Apache-2.0
// Products by cuBLASLt. It thinks in columns: our row-major C is its C^T, so C^T = op(B)^T op(A)^T
// is asked for, with B first and the same transpositions.
#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "absl/hash/hash.h"
#include "device/cuda.h"
#include "device/cuda_check.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/elementwise.h"
#include "kernels/matmul_choices.h"
#include "kernels/product_key.h"

namespace tl::cuda {
namespace {

constexpr size_t kAlignment = kMatmulAlignment;  // no more than cudaMalloc's

uint16_t Alignment(const Tensor& x) {
  const auto address = reinterpret_cast<uintptr_t>(x.data);
  return static_cast<uint16_t>(std::min<uintptr_t>(address & (~address + 1), kAlignment));
}

// All that an algorithm is chosen for. Alignments are those of the pointers, 1 to kAlignment bytes.
struct Key : ProductKey {
  uint16_t align_a, align_b, align_c;
  int device;
  bool has_beta;

  Key(const MatmulArgs& args, int on_device)
      : ProductKey(args),
        align_a(Alignment(args.a)),
        align_b(Alignment(args.b)),
        align_c(Alignment(args.c)),
        device(on_device),
        has_beta(args.beta != 0.0f) {}
  bool operator==(const Key&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Key& key) {
    return H::combine(std::move(h), static_cast<const ProductKey&>(key), key.align_a, key.align_b,
                      key.align_c, key.device, key.has_beta);
  }
};

struct Product {
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  size_t workspace = 0;
  int64_t calls = 0;  // of this algorithm
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

// All but the algorithm.
Product DescribeProduct(const Key& key, const void* bias) {
  const CublasLt& blas = GetCublasLt();
  const bool trans_a = key.trans_a == Transpose::kYes, trans_b = key.trans_b == Transpose::kYes;
  const DType in = key.in_type;
  Product product;
  TL_CHECK_CUBLASLT(blas.cublasLtMatmulDescCreate(&product.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Set(product.desc, CUBLASLT_MATMUL_DESC_TRANSA, trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  Set(product.desc, CUBLASLT_MATMUL_DESC_TRANSB, trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (key.has_bias) {
    Set(product.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    Set(product.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  product.a = trans_a ? Layout(in, key.k, key.m, key.lda) : Layout(in, key.m, key.k, key.lda);
  product.b = trans_b ? Layout(in, key.n, key.k, key.ldb) : Layout(in, key.k, key.n, key.ldb);
  product.c = Layout(key.out_type, key.m, key.n, key.ldc);
  return product;
}

// Split sums meet in fp32 and in a fixed order: rounded once, the same bits each time.
constexpr uint32_t kMask = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;

// At most `most` ways to make the product, the fastest first as cuBLASLt estimates it.
std::vector<cublasLtMatmulHeuristicResult_t> Choices(const Key& key, const Product& product,
                                                     uint32_t mask, int most) {
  const CublasLt& blas = GetCublasLt();
  cublasLtMatmulPreference_t preference;
  TL_CHECK_CUBLASLT(blas.cublasLtMatmulPreferenceCreate(&preference));
  Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kMatmulWorkspace});
  Set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, mask);
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{key.align_b});
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t{key.align_a});
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t{key.align_c});
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t{key.align_c});
  std::vector<cublasLtMatmulHeuristicResult_t> results(most);
  int found = 0;
  const cublasStatus_t status = blas.cublasLtMatmulAlgoGetHeuristic(
      Blas(key.device), product.desc, product.b, product.a, product.c, product.c, preference, most,
      results.data(), &found);
  results.resize(found);
  std::erase_if(results, [](const auto& r) { return r.state != CUBLAS_STATUS_SUCCESS; });
  TL_CHECK(status == CUBLAS_STATUS_SUCCESS && !results.empty())
      << "cuBLASLt has no product [" << key.m << ", " << key.k << "] x [" << key.k << ", " << key.n
      << "] of " << Name(key.in_type) << " into " << Name(key.out_type) << ", row strides "
      << key.lda << ", " << key.ldb << ", " << key.ldc << ": "
      << blas.cublasLtGetStatusString(status);
  TL_CHECK_CUBLASLT(blas.cublasLtMatmulPreferenceDestroy(preference));
  return results;
}

// As long as the program: the cache ends with it, perhaps after CUDA.
struct Cache {
  std::unordered_map<Key, Product, absl::Hash<Key>> products;
  std::vector<std::pair<const Key, Product>*> in_order;  // of their first calls
};
Cache& Made() {
  static auto* cache = new Cache;
  return *cache;
}

Product& FindProduct(const Key& key, const void* bias) {
  Cache& cache = Made();
  const auto it = cache.products.find(key);
  if (it != cache.products.end()) return it->second;
  Product product = DescribeProduct(key, bias);
  const auto first = Choices(key, product, kMask, 1)[0];
  product.algorithm = first.algo;
  product.workspace = first.workspaceSize;
  cache.in_order.push_back(&*cache.products.emplace(key, product).first);
  return cache.in_order.back()->second;
}

MatmulChoice ReadChoice(const cublasLtMatmulAlgo_t& algorithm, size_t workspace, uint32_t mask,
                        int place) {
  MatmulChoice choice = {.workspace = workspace, .mask = mask, .place = place};
  static_assert(sizeof(choice.algorithm) == sizeof(algorithm));
  std::memcpy(&choice.algorithm, &algorithm, sizeof(algorithm));
  const auto get = [&](cublasLtMatmulAlgoConfigAttributes_t attribute) {
    int32_t value = 0;
    size_t written = 0;
    TL_CHECK_CUBLASLT(GetCublasLt().cublasLtMatmulAlgoConfigGetAttribute(
        &algorithm, attribute, &value, sizeof(value), &written));
    return value;
  };
  choice.id = get(CUBLASLT_ALGO_CONFIG_ID);
  choice.tile = get(CUBLASLT_ALGO_CONFIG_TILE_ID);
  choice.parts = get(CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
  choice.reduction = static_cast<Reduction>(get(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME));
  return choice;
}

// A product like those of the key.
MatmulArgs WithoutData(const Key& key, Device device) {
  const auto matrix = [&](int64_t rows, int64_t columns, int64_t stride, DType type) {
    return Tensor{
        .shape = {rows, columns}, .strides = {stride, 1}, .dtype = type, .device = device};
  };
  const bool trans_a = key.trans_a == Transpose::kYes, trans_b = key.trans_b == Transpose::kYes;
  MatmulArgs args = {
      .c = matrix(key.m, key.n, key.ldc, key.out_type),
      .a = matrix(trans_a ? key.k : key.m, trans_a ? key.m : key.k, key.lda, key.in_type),
      .b = matrix(trans_b ? key.n : key.k, trans_b ? key.k : key.n, key.ldb, key.in_type),
      .trans_a = key.trans_a,
      .trans_b = key.trans_b,
      .beta = key.has_beta ? 1.0f : 0.0f};
  if (key.has_bias)
    args.bias = {.shape = {key.n}, .strides = {1}, .dtype = args.a.dtype, .device = device};
  return args;
}

}  // namespace

void Matmul(Stream& stream, const MatmulArgs& args) {
  if (args.c.elements() == 0) return;
  const Key key(args, stream.device().index);
  TL_CHECK_LT(0, key.k) << "an empty sum";
  const cudaStream_t queue = Handle(stream);

  // The epilogue adds a bias of C's type at a place that any algorithm can read from.
  Tensor bias = args.bias;
  size_t front = 0;
  if (bias && (bias.dtype != args.c.dtype || Alignment(bias) < 16)) {
    bias.dtype = args.c.dtype;
    front = (static_cast<size_t>(bias.bytes()) + kAlignment - 1) / kAlignment * kAlignment;
    bias.data = nullptr;
  }
  if (front > 0) bias.data = stream.Scratch(front);
  Product& product = FindProduct(key, bias.data);
  cublasLtMatmulAlgo_t algorithm = product.algorithm;
  size_t workspace = product.workspace;
  if (args.choice == nullptr) {
    ++product.calls;
  } else {
    std::memcpy(&algorithm, &args.choice->algorithm, sizeof(algorithm));
    workspace = args.choice->workspace;
  }
  std::byte* scratch = stream.Scratch(front + workspace);
  if (front > 0) {
    bias.data = scratch;
    cuda::Convert(stream, {.dst = bias, .src = args.bias});
  }
  if (args.bias)
    Set(product.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias.data));
  const float one = 1.0f;
  TL_CHECK_CUBLASLT(GetCublasLt().cublasLtMatmul(
      Blas(stream.device().index), product.desc, &one, args.b.data, product.b, args.a.data,
      product.a, &args.beta, args.c.data, product.c, args.c.data, product.c, &algorithm,
      workspace > 0 ? scratch + front : nullptr, workspace, queue))
      << ToString(args.a.shape) << " " << ToString(args.b.shape) << " -> "
      << ToString(args.c.shape);
}

void MatmulChoices(Stream& stream, const MatmulChoicesArgs& args) {
  args.made->clear();
  for (const auto* entry : Made().in_order) {
    const auto& [key, product] = *entry;
    if (key.device != stream.device().index) continue;
    MatmulMade made = {.args = WithoutData(key, stream.device()),
                       .alignment = {key.align_a, key.align_b, key.align_c},
                       .calls = product.calls,
                       .choices = {ReadChoice(product.algorithm, product.workspace, kMask, 1)}};
    for (const uint32_t mask : {kMask, uint32_t{CUBLASLT_REDUCTION_SCHEME_MASK}}) {
      int place = 0;
      for (const auto& result : Choices(key, product, mask, args.most)) {
        const MatmulChoice choice = ReadChoice(result.algo, result.workspaceSize, mask, ++place);
        const bool known = std::any_of(
            made.choices.begin(), made.choices.end(),
            [&](const MatmulChoice& other) { return other.algorithm == choice.algorithm; });
        if (!known) made.choices.push_back(choice);
      }
    }
    args.made->push_back(std::move(made));
  }
}

}  // namespace tl::cuda
