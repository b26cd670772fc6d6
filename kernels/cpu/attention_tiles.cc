// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/attention_tiles.h"

#include <omp.h>

#include <unordered_map>

#include "absl/hash/hash.h"
#include "base/check.h"
#include "device/device.h"
#include "kernels/cpu/onednn.h"

namespace tl::cpu {
namespace {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

// The rows that a packed operand is laid out for; the layout serves products of any height.
constexpr int64_t kTypicalRows = 256;

dnnl::matmul::primitive_desc ProductDesc(const Desc& a, const Desc& b, const Desc& c, Write write) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (write == Write::kAdd) {
    dnnl::post_ops ops;
    ops.append_sum(1.0f);
    attr.set_post_ops(ops);
  }
  return DescribeProduct(a, b, {}, c, attr);
}

Desc PackedDesc(DType type, int64_t k, int64_t n) {
  const Desc a({kTypicalRows, k}, OneDnnType(type), Dims{k, 1});
  const Desc b({k, n}, OneDnnType(type), dnnl::memory::format_tag::any);
  const Desc c({kTypicalRows, n}, dnnl::memory::data_type::f32, Dims{n, 1});
  return ProductDesc(a, b, c, Write::kAdd).weights_desc();
}

// A primitive and the memory objects it runs on; executed through the C interface, which takes an
// array where the C++ one takes a map that allocates.
struct Bound {
  dnnl::primitive primitive;
  dnnl::memory from, weights, to, scratchpad;
  size_t bytes = 0;  // of the packed operand
};

enum class Kind : uint64_t { kProduct, kPack, kTranspose };

// 12 bits per size; kinds and flags above.
uint64_t TileKey(Kind kind, DType type, uint64_t flags, int64_t m, int64_t k, int64_t n) {
  TL_CHECK(m < 4096 && k < 4096 && n < 4096) << m << " " << k << " " << n;
  return static_cast<uint64_t>(m) | static_cast<uint64_t>(k) << 12 |
         static_cast<uint64_t>(n) << 24 | flags << 36 | static_cast<uint64_t>(type) << 40 |
         static_cast<uint64_t>(kind) << 44;
}

// One thread's primitives, and the memory they work in.
struct Cache {
  using Key = std::pair<uint64_t, int64_t>;
  std::unordered_map<Key, Bound, absl::Hash<Key>> bound;
  dnnl::stream stream{OneDnnEngine()};
  Buffer scratchpad;

  template <class F>
  Bound& Find(uint64_t key, int64_t ld, const F& make) {
    const auto it = bound.find({key, ld});
    if (it != bound.end()) return it->second;
    try {
      Bound made = make();
      const size_t bytes = made.scratchpad ? made.scratchpad.get_desc().get_size() : 0;
      if (bytes > scratchpad.size()) scratchpad = Buffer::Allocate({}, bytes);
      return bound.emplace(std::pair(key, ld), std::move(made)).first->second;
    } catch (const dnnl::error& error) {
      TL_CHECK(false) << "oneDNN: " << error.what();
      throw;
    }
  }
};

Cache& ThreadCache() {
  thread_local Cache cache;
  return cache;
}

Bound MakeCopy(const Desc& from, const Desc& to) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::reorder::primitive_desc pd(OneDnnEngine(), from, OneDnnEngine(), to, attr);
  Bound bound;
  bound.primitive = dnnl::reorder(pd);
  bound.from = dnnl::memory(from, OneDnnEngine(), nullptr);
  bound.to = dnnl::memory(to, OneDnnEngine(), nullptr);
  bound.scratchpad = dnnl::memory(pd.scratchpad_desc(), OneDnnEngine(), nullptr);
  bound.bytes = to.get_size();
  return bound;
}

void Execute(Cache& cache, const Bound& bound, const dnnl_exec_arg_t* args, int count) {
  const dnnl_status_t status =
      dnnl_primitive_execute(bound.primitive.get(), cache.stream.get(), count, args);
  TL_CHECK(status == dnnl_success) << "oneDNN status " << status;
}

void RunCopy(Cache& cache, Bound& bound, const void* src, void* dst) {
  bound.from.set_data_handle(const_cast<void*>(src));
  bound.to.set_data_handle(dst);
  bound.scratchpad.set_data_handle(cache.scratchpad.data());
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, bound.from.get()},
                                  {DNNL_ARG_TO, bound.to.get()},
                                  {DNNL_ARG_SCRATCHPAD, bound.scratchpad.get()}};
  Execute(cache, bound, args, 3);
}

Bound& FindPack(Cache& cache, DType type, int64_t k, int64_t n, Source source, int64_t ld) {
  const uint64_t key = TileKey(Kind::kPack, type, static_cast<uint64_t>(source), 0, k, n);
  return cache.Find(key, ld, [&] {
    const Dims strides = source == Source::kRows ? Dims{ld, 1} : Dims{1, ld};
    return MakeCopy(Desc({k, n}, OneDnnType(type), strides), PackedDesc(type, k, n));
  });
}

}  // namespace

OneThreadScope::OneThreadScope() : threads_(omp_get_max_threads()) { omp_set_num_threads(1); }
OneThreadScope::~OneThreadScope() { omp_set_num_threads(threads_); }

size_t PackedBytes(DType type, int64_t k, int64_t n) {
  const OneThreadScope one_thread;
  return FindPack(ThreadCache(), type, k, n, Source::kRows, n).bytes;
}

void Pack(DType type, int64_t k, int64_t n, Source source, const void* src, int64_t ld, void* dst) {
  Cache& cache = ThreadCache();
  RunCopy(cache, FindPack(cache, type, k, n, source, ld), src, dst);
}

void TransposeTile(DType type, int64_t rows, int64_t cols, const void* src, void* dst) {
  Cache& cache = ThreadCache();
  Bound& bound = cache.Find(TileKey(Kind::kTranspose, type, 0, rows, cols, 0), 0, [&] {
    return MakeCopy(Desc({cols, rows}, OneDnnType(type), Dims{1, cols}),
                    Desc({cols, rows}, OneDnnType(type), Dims{rows, 1}));
  });
  RunCopy(cache, bound, src, dst);
}

void TileProduct(DType type, int64_t m, int64_t k, int64_t n, const void* a, Right right,
                 const void* b, Write write, float* c) {
  Cache& cache = ThreadCache();
  const uint64_t flags = static_cast<uint64_t>(right) | static_cast<uint64_t>(write) << 1;
  Bound& bound = cache.Find(TileKey(Kind::kProduct, type, flags, m, k, n), 0, [&] {
    const Desc packed = right == Right::kPacked ? PackedDesc(type, k, n)
                                                : Desc({k, n}, OneDnnType(type), Dims{n, 1});
    const auto pd = ProductDesc(Desc({m, k}, OneDnnType(type), Dims{k, 1}), packed,
                                Desc({m, n}, dnnl::memory::data_type::f32, Dims{n, 1}), write);
    Bound made;
    made.primitive = dnnl::matmul(pd);
    made.from = dnnl::memory(pd.src_desc(), OneDnnEngine(), nullptr);
    made.weights = dnnl::memory(pd.weights_desc(), OneDnnEngine(), nullptr);
    made.to = dnnl::memory(pd.dst_desc(), OneDnnEngine(), nullptr);
    made.scratchpad = dnnl::memory(pd.scratchpad_desc(), OneDnnEngine(), nullptr);
    return made;
  });
  bound.from.set_data_handle(const_cast<void*>(a));
  bound.weights.set_data_handle(const_cast<void*>(b));
  bound.to.set_data_handle(c);
  bound.scratchpad.set_data_handle(cache.scratchpad.data());
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, bound.from.get()},
                                  {DNNL_ARG_WEIGHTS, bound.weights.get()},
                                  {DNNL_ARG_DST, bound.to.get()},
                                  {DNNL_ARG_SCRATCHPAD, bound.scratchpad.get()}};
  Execute(cache, bound, args, 4);
}

}  // namespace tl::cpu
