// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include <bit>
#include <unordered_map>

#include "absl/hash/hash.h"
#include "kernels/cpu/onednn.h"
#include "kernels/elementwise.h"
#include "kernels/product_key.h"

namespace tl::cpu {
namespace {

using Dims = dnnl::memory::dims;

// All that a primitive is made for.
struct PrimitiveKey : ProductKey {
  uint32_t beta_bits;

  explicit PrimitiveKey(const MatmulArgs& args)
      : ProductKey(args), beta_bits(std::bit_cast<uint32_t>(args.beta)) {}
  bool operator==(const PrimitiveKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const PrimitiveKey& key) {
    return H::combine(std::move(h), static_cast<const ProductKey&>(key), key.beta_bits);
  }
};

struct Product {
  dnnl::matmul primitive;
  dnnl::memory a, b, c, bias, scratchpad;
  size_t scratchpad_bytes = 0;
};

Product MakeProduct(const PrimitiveKey& key) {
  const auto in = OneDnnType(key.in_type), out = OneDnnType(key.out_type);
  const auto strides = [](Transpose transposed, int64_t ld) {
    return transposed == Transpose::kYes ? Dims{1, ld} : Dims{ld, 1};
  };
  const dnnl::memory::desc a({key.m, key.k}, in, strides(key.trans_a, key.lda));
  const dnnl::memory::desc b({key.k, key.n}, in, strides(key.trans_b, key.ldb));
  const dnnl::memory::desc c({key.m, key.n}, out, Dims{key.ldc, 1});
  dnnl::memory::desc bias;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (key.beta_bits != 0) {
    dnnl::post_ops ops;
    ops.append_sum(std::bit_cast<float>(key.beta_bits));
    attr.set_post_ops(ops);
  }
  if (key.has_bias) bias = dnnl::memory::desc({1, key.n}, in, Dims{key.n, 1});
  const dnnl::matmul::primitive_desc pd = DescribeProduct(a, b, bias, c, attr);
  Product product;
  product.primitive = dnnl::matmul(pd);
  product.a = dnnl::memory(a, OneDnnEngine(), nullptr);
  product.b = dnnl::memory(b, OneDnnEngine(), nullptr);
  product.c = dnnl::memory(c, OneDnnEngine(), nullptr);
  if (key.has_bias) product.bias = dnnl::memory(bias, OneDnnEngine(), nullptr);
  product.scratchpad = dnnl::memory(pd.scratchpad_desc(), OneDnnEngine(), nullptr);
  product.scratchpad_bytes = pd.scratchpad_desc().get_size();
  return product;
}

Product& FindProduct(const PrimitiveKey& key) {
  thread_local std::unordered_map<PrimitiveKey, Product, absl::Hash<PrimitiveKey>> cache;
  const auto it = cache.find(key);
  return it != cache.end() ? it->second : cache.emplace(key, MakeProduct(key)).first->second;
}

// In the operands' own type. `offset` bytes at the front of the scratch are taken.
void RunProduct(Stream& stream, const MatmulArgs& args, size_t offset) {
  Product& product = FindProduct(PrimitiveKey(args));
  product.a.set_data_handle(args.a.data);
  product.b.set_data_handle(args.b.data);
  product.c.set_data_handle(args.c.data);
  product.scratchpad.set_data_handle(stream.Scratch(offset + product.scratchpad_bytes) + offset);
  std::unordered_map<int, dnnl::memory> bound = {{DNNL_ARG_SRC, product.a},
                                                 {DNNL_ARG_WEIGHTS, product.b},
                                                 {DNNL_ARG_DST, product.c},
                                                 {DNNL_ARG_SCRATCHPAD, product.scratchpad}};
  if (args.bias) {
    product.bias.set_data_handle(args.bias.data);
    bound[DNNL_ARG_BIAS] = product.bias;
  }
  thread_local dnnl::stream queue(OneDnnEngine());
  product.primitive.execute(queue, bound);
  queue.wait();
}

// A contiguous fp32 copy of a matrix, at p.
Tensor Widen(Stream& stream, const Tensor& x, std::byte* p) {
  Tensor wide = Tensor::Contiguous(p, x.shape, DType::kF32);
  if (x.contiguous()) {
    cpu::Convert(stream, {.dst = wide, .src = x});
    return wide;
  }
  for (int64_t row = 0; row < x.shape[0]; ++row)
    cpu::Convert(stream, {.dst = wide.Slice(0, row, row + 1), .src = x.Slice(0, row, row + 1)});
  return wide;
}

size_t Aligned(int64_t elements) { return (static_cast<size_t>(elements) * 4 + 63) / 64 * 64; }

// 16 bits in memory, products in fp32.
void RunWidened(Stream& stream, const MatmulArgs& args) {
  const bool half_out = args.c.dtype != DType::kF32;
  const size_t a_bytes = Aligned(args.a.elements()), b_bytes = Aligned(args.b.elements());
  const size_t c_bytes = half_out ? Aligned(args.c.elements()) : 0;
  const size_t bias_bytes = args.bias ? Aligned(args.bias.elements()) : 0;
  const size_t taken = a_bytes + b_bytes + c_bytes + bias_bytes;
  // The product's own scratchpad follows; ask for all of it first, since growing moves the scratch.
  MatmulArgs wide = args;
  wide.a = Tensor::Contiguous(nullptr, args.a.shape, DType::kF32);
  wide.b = Tensor::Contiguous(nullptr, args.b.shape, DType::kF32);
  if (half_out) wide.c = Tensor::Contiguous(nullptr, args.c.shape, DType::kF32);
  std::byte* p = stream.Scratch(taken + FindProduct(PrimitiveKey(wide)).scratchpad_bytes);
  wide.a = Widen(stream, args.a, p);
  wide.b = Widen(stream, args.b, p + a_bytes);
  if (half_out && args.beta != 0.0f) {
    wide.c = Widen(stream, args.c, p + a_bytes + b_bytes);
  } else if (half_out) {
    wide.c = Tensor::Contiguous(p + a_bytes + b_bytes, args.c.shape, DType::kF32);
  }
  if (args.bias) {
    wide.bias = Tensor::Contiguous(p + a_bytes + b_bytes + c_bytes, args.bias.shape, DType::kF32);
    cpu::Convert(stream, {.dst = wide.bias, .src = args.bias});
  }
  RunProduct(stream, wide, taken);
  if (!half_out) return;
  if (args.c.contiguous()) {
    cpu::Convert(stream, {.dst = args.c, .src = wide.c});
    return;
  }
  for (int64_t row = 0; row < args.c.shape[0]; ++row)
    cpu::Convert(stream,
                 {.dst = args.c.Slice(0, row, row + 1), .src = wide.c.Slice(0, row, row + 1)});
}

}  // namespace

void Matmul(Stream& stream, const MatmulArgs& args) {
  if (args.c.elements() == 0) return;
  if (ProductType(args.a.dtype) == args.a.dtype) {
    RunProduct(stream, args, 0);
  } else {
    RunWidened(stream, args);
  }
}

}  // namespace tl::cpu
