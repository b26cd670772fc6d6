// Attention over a K/V cache: right against fp64, and every row with the same bits wherever its
// keys lie and whatever goes with it.
#include "kernels/cached_attention.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/philox.h"
#include "kernels/kv_cache.h"

namespace tl {
namespace {

using Bits = std::array<int32_t, 4>;

Bits BitsOf(const std::vector<int>& keys) {
  Bits bits{};
  for (const int j : keys)
    bits[static_cast<size_t>(j / 32)] |= static_cast<int32_t>(uint32_t{1} << (j % 32));
  return bits;
}

float Rounded(DType dtype, float x) {
  if (dtype == DType::kBF16) return ToFloat(FromFloat<BF16>(x));
  if (dtype == DType::kF16) return ToFloat(FromFloat<F16>(x));
  return x;
}

struct Owner {
  Owner(DType dtype, Shape shape)
      : memory(Buffer::Allocate({}, static_cast<size_t>(shape.elements()) * SizeOf(dtype))),
        tensor(Tensor::Contiguous(memory.data(), shape, dtype)) {
    std::memset(memory.data(), 0xff, memory.size());  // NaN
  }
  void Set(int64_t i, float x) const {
    std::byte* p = tensor.data + i * static_cast<int64_t>(SizeOf(tensor.dtype));
    if (tensor.dtype == DType::kF32) std::memcpy(p, &x, sizeof(x));
    if (tensor.dtype == DType::kBF16) {
      const BF16 b = FromFloat<BF16>(x);
      std::memcpy(p, &b, sizeof(b));
    }
    if (tensor.dtype == DType::kF16) {
      const F16 b = FromFloat<F16>(x);
      std::memcpy(p, &b, sizeof(b));
    }
  }
  float Get(int64_t i) const {
    if (tensor.dtype == DType::kF32) return tensor.as<float>()[i];
    if (tensor.dtype == DType::kBF16) return ToFloat(tensor.as<BF16>()[i]);
    return ToFloat(tensor.as<F16>()[i]);
  }
  Buffer memory;
  Tensor tensor;
};

struct Sizes {
  int64_t q_heads = 4, k_heads = 2, d = 32, sequences = 2, capacity = 400;
  int64_t window = 0;
};

// One query and its keys, by the places they have in the cache.
struct Query {
  int32_t sequence = 0;
  int32_t prefix = 0;
  std::vector<int> tree;  // in ascending order
  uint64_t id = 0;        // what the query's values are made from

  std::vector<int64_t> Places() const {
    std::vector<int64_t> places;
    for (int64_t j = 0; j < prefix; ++j) places.push_back(j);
    for (const int j : tree) places.push_back(prefix + j);
    return places;
  }
};

class Rig {
 public:
  Rig(DType dtype, const Sizes& sizes)
      : sizes_(sizes),
        dtype_(dtype),
        k(dtype, {sizes.sequences, sizes.k_heads, sizes.capacity, sizes.d}),
        v(dtype, {sizes.sequences, sizes.k_heads, sizes.capacity, sizes.d}) {}

  // Writes the token `id` at a place of a sequence, through the op.
  void Put(int32_t sequence, int32_t place, uint64_t id) {
    const Owner new_k(dtype_, {1, sizes_.k_heads, sizes_.d}),
        new_v(dtype_, {1, sizes_.k_heads, sizes_.d});
    for (int64_t i = 0; i < sizes_.k_heads * sizes_.d; ++i) {
      new_k.Set(i, PhiloxNormal(100 + 2 * id, static_cast<uint64_t>(i)));
      new_v.Set(i, PhiloxNormal(101 + 2 * id, static_cast<uint64_t>(i)));
    }
    CacheStore(stream_, {.k_cache = k.tensor,
                         .v_cache = v.tensor,
                         .k = new_k.tensor,
                         .v = new_v.tensor,
                         .sequences = Tensor::Of(&sequence, {1}),
                         .indices = Tensor::Of(&place, {1})});
  }

  float QueryValue(const Query& query, int64_t i) const {
    return Rounded(dtype_, PhiloxNormal(50 + query.id, static_cast<uint64_t>(i)));
  }

  // The rows of o as bytes.
  std::vector<std::vector<std::byte>> Run(const std::vector<Query>& queries) {
    const auto rows = static_cast<int64_t>(queries.size()), width = sizes_.q_heads * sizes_.d;
    const Owner q(dtype_, {rows, sizes_.q_heads, sizes_.d});
    out = std::make_unique<Owner>(dtype_, Shape{rows, sizes_.q_heads, sizes_.d});
    std::vector<int32_t> sequences, prefix, ancestors;
    for (int64_t n = 0; n < rows; ++n) {
      const Query& query = queries[static_cast<size_t>(n)];
      for (int64_t i = 0; i < width; ++i) q.Set(n * width + i, QueryValue(query, i));
      sequences.push_back(query.sequence);
      prefix.push_back(query.prefix);
      const Bits bits = BitsOf(query.tree);
      ancestors.insert(ancestors.end(), bits.begin(), bits.end());
    }
    CachedAttention(stream_, {.o = out->tensor,
                              .q = q.tensor,
                              .k = k.tensor,
                              .v = v.tensor,
                              .sequences = Tensor::Of(sequences.data(), {rows}),
                              .prefix = Tensor::Of(prefix.data(), {rows}),
                              .ancestors = Tensor::Of(ancestors.data(), {rows, 4}),
                              .window = sizes_.window});
    std::vector<std::vector<std::byte>> bytes;
    const auto row_bytes = width * static_cast<int64_t>(SizeOf(dtype_));
    for (int64_t n = 0; n < rows; ++n)
      bytes.emplace_back(out->tensor.data + n * row_bytes, out->tensor.data + (n + 1) * row_bytes);
    return bytes;
  }

  // The same in fp64, for element i of the row.
  std::vector<double> Expected(const Query& query) const {
    std::vector<double> o(static_cast<size_t>(sizes_.q_heads * sizes_.d), 0.0);
    std::vector<int64_t> places = query.Places();
    if (sizes_.window > 0 && static_cast<int64_t>(places.size()) > sizes_.window)
      places.erase(places.begin(), places.end() - sizes_.window);
    for (int64_t h = 0; h < sizes_.q_heads; ++h) {
      const int64_t key_head = h / (sizes_.q_heads / sizes_.k_heads);
      const auto at = [&](const Owner& cache, int64_t place, int64_t i) {
        return cache.Get(((query.sequence * sizes_.k_heads + key_head) * sizes_.capacity + place) *
                             sizes_.d +
                         i);
      };
      std::vector<double> s;
      double max = -HUGE_VAL, sum = 0.0;
      for (const int64_t place : places) {
        double dot = 0.0;
        for (int64_t i = 0; i < sizes_.d; ++i)
          dot += static_cast<double>(QueryValue(query, h * sizes_.d + i)) * at(k, place, i);
        s.push_back(dot / std::sqrt(static_cast<double>(sizes_.d)));
        max = std::max(max, s.back());
      }
      for (double& x : s) sum += x = std::exp(x - max);
      for (size_t t = 0; t < places.size(); ++t) {
        for (int64_t i = 0; i < sizes_.d; ++i)
          o[static_cast<size_t>(h * sizes_.d + i)] += s[t] / sum * at(v, places[t], i);
      }
    }
    return o;
  }

  void Check(const std::vector<Query>& queries) {
    Run(queries);
    const int64_t width = sizes_.q_heads * sizes_.d;
    // Of values of size 1: the sums' own errors, and the result's rounding.
    const double bound = dtype_ == DType::kF32 ? 1e-5 : dtype_ == DType::kBF16 ? 0x1p-7 : 0x1p-10;
    for (size_t n = 0; n < queries.size(); ++n) {
      const std::vector<double> expected = Expected(queries[n]);
      for (int64_t i = 0; i < width; ++i) {
        const double x = out->Get(static_cast<int64_t>(n) * width + i);
        ASSERT_LE(std::abs(x - expected[static_cast<size_t>(i)]), bound)
            << Name(dtype_) << " row " << n << " element " << i;
      }
    }
  }

  Stream stream_ = Stream::Cpu();
  Sizes sizes_;
  DType dtype_;
  Owner k, v;
  std::unique_ptr<Owner> out;
};

// 300 tokens in sequence 0 and 70 in sequence 1; behind them what a tree may hold.
void FillPrefix(Rig& rig) {
  for (int i = 0; i < 300; ++i) rig.Put(0, i, static_cast<uint64_t>(i));
  for (int i = 0; i < 70; ++i) rig.Put(1, i, static_cast<uint64_t>(1000 + i));
}

TEST(CachedAttention, IsRight) {
  const Sizes cases[] = {{},
                         {.q_heads = 3, .k_heads = 3, .d = 40},
                         {.q_heads = 6, .k_heads = 1, .d = 64},
                         {.q_heads = 2, .k_heads = 1, .d = 256},
                         {.window = 5},
                         {.window = 90}};
  for (const Sizes& sizes : cases) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      Rig rig(dtype, sizes);
      FillPrefix(rig);
      rig.Check({{.sequence = 0, .prefix = 299, .tree = {0}, .id = 1},
                 {.sequence = 1, .prefix = 1, .tree = {}, .id = 2},
                 {.sequence = 1, .prefix = 0, .tree = {0, 1, 5, 31, 32, 63, 69}, .id = 3},
                 {.sequence = 0, .prefix = 150, .tree = {0, 64, 95, 96, 127}, .id = 4},
                 {.sequence = 0, .prefix = 64, .tree = {}, .id = 5}});
    }
  }
}

TEST(CachedAttention, NoKeysGiveZero) {
  Rig rig(DType::kF32, {});
  rig.Run({{.sequence = 0, .prefix = 0, .tree = {}, .id = 1}});
  for (int64_t i = 0; i < rig.out->tensor.elements(); ++i) EXPECT_EQ(rig.out->Get(i), 0.0f);
}

TEST(CachedAttention, NanIsNotHidden) {
  Rig rig(DType::kF32, {});
  rig.Put(0, 0, 1);  // place 1 stays as it was made, a NaN
  rig.Run({{.sequence = 0, .prefix = 2, .tree = {}, .id = 1},
           {.sequence = 0, .prefix = 1, .tree = {}, .id = 1}});
  EXPECT_TRUE(std::isnan(rig.out->Get(0)));
  EXPECT_FALSE(std::isnan(rig.out->Get(rig.out->tensor.elements() - 1)));
}

// A path through a tree of drafts against the same tokens decoded one after the other.
TEST(CachedAttention, TreesAndBatchesKeepTheBits) {
  const int threads = omp_get_max_threads();
  for (const int64_t window : {0, 100}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      Rig tree(dtype, {.window = window}), plain(dtype, {.window = window});
      FillPrefix(tree);
      FillPrefix(plain);
      // Tokens 2000.. at every second place of the tree, others between them.
      std::vector<Query> in_tree, alone;
      std::vector<int> path;
      for (int i = 0; i < 20; ++i) {
        tree.Put(0, 300 + 2 * i, static_cast<uint64_t>(2000 + i));
        tree.Put(0, 301 + 2 * i, static_cast<uint64_t>(3000 + i));
        plain.Put(0, 300 + i, static_cast<uint64_t>(2000 + i));
        path.push_back(2 * i);
        const auto id = static_cast<uint64_t>(10 + i);
        in_tree.push_back({.sequence = 0, .prefix = 300, .tree = path, .id = id});
        in_tree.push_back({.sequence = 1, .prefix = 70 - i, .tree = {}, .id = id});
        alone.push_back({.sequence = 0, .prefix = 301 + i, .tree = {}, .id = id});
      }
      omp_set_num_threads(3);
      const auto together = tree.Run(in_tree);
      omp_set_num_threads(threads);
      for (size_t i = 0; i < alone.size(); ++i)
        ASSERT_EQ(together[2 * i], plain.Run({alone[i]})[0]) << Name(dtype) << " depth " << i;
    }
  }
}

TEST(CacheMove, TakesAPathToThePrefix) {
  Rig rig(DType::kBF16, {}), straight(DType::kBF16, {});
  for (int i = 0; i < 10; ++i) rig.Put(0, i, static_cast<uint64_t>(i));
  for (int i = 0; i < 10; ++i) rig.Put(1, i, static_cast<uint64_t>(20 + i));
  std::vector<int32_t> sequences = {0, 0, 0, 1}, from = {3, 6, 9, 5}, to = {2, 3, 4, 0};
  CacheMove(rig.stream_, {.k_cache = rig.k.tensor,
                          .v_cache = rig.v.tensor,
                          .sequences = Tensor::Of(sequences.data(), {4}),
                          .from = Tensor::Of(from.data(), {4}),
                          .to = Tensor::Of(to.data(), {4})});
  const uint64_t first[] = {0, 1, 3, 6, 9}, second[] = {25, 21};
  for (int i = 0; i < 5; ++i) straight.Put(0, i, first[i]);
  for (int i = 0; i < 2; ++i) straight.Put(1, i, second[i]);
  const std::vector<Query> queries = {{.sequence = 0, .prefix = 5, .tree = {}, .id = 1},
                                      {.sequence = 1, .prefix = 2, .tree = {}, .id = 2}};
  EXPECT_EQ(rig.Run(queries), straight.Run(queries));
}

}  // namespace
}  // namespace tl
