// SPDX-License-Identifier: Apache-2.0
// Attention over a K/V cache: right against fp64, and every row with the same bits wherever its
// keys lie and whatever goes with it.
#include "kernels/cached_attention.h"

#include <omp.h>

#include <array>
#include <memory>

#include "kernels/kv_cache.h"
#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

using Bits = std::array<int32_t, 4>;

Bits BitsOf(const std::vector<int>& keys) {
  Bits bits{};
  for (const int j : keys)
    bits[static_cast<size_t>(j / 32)] |= static_cast<int32_t>(uint32_t{1} << (j % 32));
  return bits;
}

struct CacheSizes {
  int64_t q_heads = 4, k_heads = 2, d = 32, sequences = 2, capacity = 400;
  int64_t window = 0, most_keys = 0;
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
  Rig(DType dtype, const CacheSizes& sizes)
      : sizes_(sizes),
        dtype_(dtype),
        k(dtype, {sizes.sequences, sizes.k_heads, sizes.capacity, sizes.d}),
        v(dtype, {sizes.sequences, sizes.k_heads, sizes.capacity, sizes.d}) {}

  // Writes tokens first_id, .. at places first, .. of a sequence, through the op; new keys and
  // values lie in one row, as the products write them.
  void Put(int32_t sequence, int32_t first, uint64_t first_id, int64_t count = 1,
           int32_t apart = 1) {
    const int64_t width = sizes_.k_heads * sizes_.d;
    Doubles rows;
    std::vector<int32_t> sequences(static_cast<size_t>(count), sequence), places;
    for (int64_t n = 0; n < count; ++n) {
      const uint64_t id = first_id + static_cast<uint64_t>(n);
      for (const uint64_t key : {100 + 2 * id, 101 + 2 * id}) {
        const Doubles part = Normals(dtype_, width, key);
        rows.insert(rows.end(), part.begin(), part.end());
      }
      places.push_back(first + apart * static_cast<int32_t>(n));
    }
    const Owned both(dtype_, {count, 2 * width}, rows);
    const auto heads = [&](int64_t begin) {
      return both.tensor().Slice(1, begin, begin + width).SplitAxis(1, sizes_.d);
    };
    CacheStore(TestStream(), {.k_cache = k,
                              .v_cache = v,
                              .k = heads(0),
                              .v = heads(width),
                              .sequences = Owned({count}, sequences),
                              .indices = Owned({count}, places)});
  }

  void Move(const std::vector<int32_t>& sequences, const std::vector<int32_t>& from,
            const std::vector<int32_t>& to) {
    const auto count = static_cast<int64_t>(sequences.size());
    CacheMove(TestStream(), {.k_cache = k,
                             .v_cache = v,
                             .sequences = Owned({count}, sequences),
                             .from = Owned({count}, from),
                             .to = Owned({count}, to)});
  }

  Doubles QueryValues(const Query& query) const {
    return Normals(dtype_, sizes_.q_heads * sizes_.d, 50 + query.id);
  }

  // The rows of o as bytes.
  std::vector<std::vector<uint8_t>> Run(const std::vector<Query>& queries) {
    const auto rows = static_cast<int64_t>(queries.size()), width = sizes_.q_heads * sizes_.d;
    Doubles q;
    out = std::make_unique<Owned>(dtype_, Shape{rows, sizes_.q_heads, sizes_.d});
    std::vector<int32_t> sequences, prefix, ancestors;
    for (const Query& query : queries) {
      const Doubles values = QueryValues(query);
      q.insert(q.end(), values.begin(), values.end());
      sequences.push_back(query.sequence);
      prefix.push_back(query.prefix);
      const Bits bits = BitsOf(query.tree);
      ancestors.insert(ancestors.end(), bits.begin(), bits.end());
    }
    CachedAttention(TestStream(), {.o = *out,
                                   .q = Owned(dtype_, {rows, sizes_.q_heads, sizes_.d}, q),
                                   .k = k,
                                   .v = v,
                                   .sequences = Owned({rows}, sequences),
                                   .prefix = Owned({rows}, prefix),
                                   .ancestors = Owned({rows, 4}, ancestors),
                                   .window = sizes_.window,
                                   .most_keys = sizes_.most_keys});
    const std::vector<uint8_t> bytes = out->Bytes();
    std::vector<std::vector<uint8_t>> by_row;
    const auto row_bytes = width * static_cast<int64_t>(SizeOf(dtype_));
    for (int64_t n = 0; n < rows; ++n)
      by_row.emplace_back(bytes.begin() + n * row_bytes, bytes.begin() + (n + 1) * row_bytes);
    return by_row;
  }

  // The same in fp64, from the caches' values.
  Doubles Expected(const Query& query, const Doubles& keys, const Doubles& values) const {
    const Doubles q = QueryValues(query);
    Doubles o(q.size(), 0.0);
    std::vector<int64_t> places = query.Places();
    if (sizes_.window > 0 && static_cast<int64_t>(places.size()) > sizes_.window)
      places.erase(places.begin(), places.end() - sizes_.window);
    for (int64_t h = 0; h < sizes_.q_heads; ++h) {
      const int64_t key_head = h / (sizes_.q_heads / sizes_.k_heads);
      const auto at = [&](const Doubles& cache, int64_t place, int64_t i) {
        return cache[((query.sequence * sizes_.k_heads + key_head) * sizes_.capacity + place) *
                         sizes_.d +
                     i];
      };
      Doubles s;
      double max = -HUGE_VAL, sum = 0.0;
      for (const int64_t place : places) {
        double dot = 0.0;
        for (int64_t i = 0; i < sizes_.d; ++i) dot += q[h * sizes_.d + i] * at(keys, place, i);
        s.push_back(dot / std::sqrt(static_cast<double>(sizes_.d)));
        max = std::max(max, s.back());
      }
      for (double& x : s) sum += x = std::exp(x - max);
      for (size_t t = 0; t < places.size(); ++t) {
        for (int64_t i = 0; i < sizes_.d; ++i)
          o[h * sizes_.d + i] += s[t] / sum * at(values, places[t], i);
      }
    }
    return o;
  }

  void Check(const std::vector<Query>& queries) {
    Run(queries);
    const Doubles found = out->Get(), keys = k.Get(), values = v.Get();
    const int64_t width = sizes_.q_heads * sizes_.d;
    // Of values of size 1: the sums' own errors, and the result's rounding.
    const double bound = dtype_ == DType::kF32 ? 1e-5 : dtype_ == DType::kBF16 ? 0x1p-7 : 0x1p-10;
    for (size_t n = 0; n < queries.size(); ++n) {
      const Doubles expected = Expected(queries[n], keys, values);
      double error = 0.0;
      for (int64_t i = 0; i < width; ++i)
        error = Worse(error, std::abs(found[n * width + i] - expected[i]));
      ExpectErrorWithin(dtype_, error, bound, "o of row " + std::to_string(n));
    }
  }

  CacheSizes sizes_;
  DType dtype_;
  Owned k, v;
  std::unique_ptr<Owned> out;
};

// 300 tokens in sequence 0 and 70 in sequence 1; behind them what a tree may hold.
void FillPrefix(Rig& rig) {
  rig.Put(0, 0, 0, 300);
  rig.Put(1, 0, 1000, 70);
}

TEST(CachedAttention, IsRight) {
  const CacheSizes cases[] = {{},
                              {.q_heads = 3, .k_heads = 3, .d = 40},
                              {.q_heads = 6, .k_heads = 1, .d = 64},
                              {.q_heads = 2, .k_heads = 1, .d = 256},
                              {.q_heads = 2, .k_heads = 1, .d = 33},
                              {.window = 5},
                              {.window = 90}};
  for (const CacheSizes& sizes : cases) {
    for (const DType dtype : kFloatTypes) {
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

// Rows that end, or whose windows begin, at the edges of the chunks that a device cuts keys into.
TEST(CachedAttention, ChunksAreMerged) {
  const int32_t chunk = kKeyChunk, keys = 3 * chunk + 5;
  const CacheSizes cases[] = {{.q_heads = 2, .k_heads = 2, .d = 24},
                              {.q_heads = 2, .k_heads = 1, .d = 16},
                              {.q_heads = 6, .k_heads = 1, .d = 20},
                              {.q_heads = 7, .k_heads = 1, .d = 8},
                              {.q_heads = 8, .k_heads = 1, .d = 8},
                              {.q_heads = 11, .k_heads = 1, .d = 8},
                              {.q_heads = 8, .k_heads = 1, .d = 256, .window = chunk},
                              {.q_heads = 1, .k_heads = 1, .d = 16, .window = chunk + 2},
                              {.q_heads = 4, .k_heads = 1, .d = 16, .window = 1}};
  int number = 0;
  for (CacheSizes sizes : cases) {
    sizes.capacity = keys + 200;
    sizes.sequences = 1;
    sizes.most_keys = keys;
    ++number;
    for (const DType dtype : kFloatTypes) {
      if (kMachine && sizes.q_heads != 7 && dtype != kFloatTypes[number % 3]) continue;
      Rig rig(dtype, sizes);
      rig.Put(0, 0, 0, sizes.capacity);
      std::vector<Query> queries = {
          {.sequence = 0, .prefix = chunk - 2, .tree = {0, 1, 7, 90}, .id = 1},
          {.sequence = 0, .prefix = chunk - 30, .tree = {0, 31, 64}, .id = 2}};
      for (const int32_t prefix : {0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, keys})
        queries.push_back({.sequence = 0, .prefix = prefix, .tree = {}, .id = 3});
      rig.Check(queries);
    }
  }
}

// Whether a row's chunks are merged or it has but one, whatever else the call was made for.
TEST(CachedAttention, RowsBesideOneDoNotChangeIt) {
  const int32_t chunk = kKeyChunk;
  for (const int64_t window : {int64_t{0}, kKeyChunk - 100}) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      Rig rig(dtype, {.d = 16, .sequences = 1, .capacity = 4 * chunk, .window = window});
      rig.Put(0, 0, 0, 2 * chunk + 3);
      std::vector<Query> queries;
      for (const int32_t prefix : {40, chunk, chunk + 50, 2 * chunk + 1})
        queries.push_back({.sequence = 0, .prefix = prefix, .tree = {0}, .id = 4});
      const auto together = rig.Run(queries);
      for (size_t i = 0; i < queries.size(); ++i) {
        rig.sizes_.most_keys = queries[i].prefix + 1;
        EXPECT_EQ(rig.Run({queries[i]})[0], together[i]) << Name(dtype) << " row " << i;
      }
    }
  }
}

TEST(CachedAttention, RowsThatLieOutsideGiveNan) {
  if (TestDevice().type == DeviceType::kCpu) GTEST_SKIP() << "ends the program";
  Rig rig(DType::kF32, {.capacity = 4 * kKeyChunk, .most_keys = kKeyChunk});
  rig.Put(0, 0, 0, kKeyChunk + 2);
  const int32_t chunk = kKeyChunk;
  const auto rows = rig.Run({{.sequence = 0, .prefix = chunk + 1, .tree = {}, .id = 1},
                             {.sequence = 2, .prefix = 1, .tree = {}, .id = 1},
                             {.sequence = 0, .prefix = chunk, .tree = {}, .id = 1}});
  const Doubles found = rig.out->Get();
  for (size_t i = 0; i < found.size(); ++i)
    ASSERT_EQ(std::isnan(found[i]), i < found.size() / 3 * 2) << i;
}

TEST(CachedAttention, LaunchFollowsFromTheShape) {
  const auto launch = [](int64_t rows, CacheSizes sizes) {
    const auto shaped = [](Shape shape, DType dtype) {
      return Tensor::Contiguous(nullptr, shape, dtype);
    };
    const Tensor q = shaped({rows, sizes.q_heads, sizes.d}, DType::kBF16);
    const Tensor k =
        shaped({sizes.sequences, sizes.k_heads, sizes.capacity, sizes.d}, DType::kBF16);
    CachedAttentionArgs args{};
    args.o = args.q = q;
    args.k = args.v = k;
    args.window = sizes.window;
    args.most_keys = sizes.most_keys;
    return LaunchOf(args);
  };
  const CacheSizes grouped{
      .q_heads = 28, .k_heads = 4, .d = 128, .capacity = 32768, .most_keys = 4097};
  const CachedAttentionLaunch one = launch(1, grouped);
  EXPECT_EQ(one.chunks, 9);
  EXPECT_EQ(one.heads, 8);
  EXPECT_EQ(one.tiles, 4);
  EXPECT_EQ(one.merge_blocks, 28);
  EXPECT_EQ(one.scratch_bytes, 28 * 9 * 130 * 4);
  CacheSizes window = grouped;
  window.window = 2 * kKeyChunk + 1;
  EXPECT_EQ(launch(3, window).chunks, 3);
  EXPECT_EQ(launch(3, window).tiles, 4);
  CacheSizes few = grouped;
  few.most_keys = kKeyChunk;
  EXPECT_EQ(launch(2, few).chunks, 1);
  EXPECT_EQ(launch(2, few).merge_blocks, 0);
  EXPECT_EQ(launch(2, few).scratch_bytes, 0);
  EXPECT_EQ(launch(1, {.q_heads = 3, .k_heads = 3, .capacity = 100}).heads, 1);
}

TEST(CachedAttention, NoKeysGiveZero) {
  Rig rig(DType::kF32, {});
  rig.Run({{.sequence = 0, .prefix = 0, .tree = {}, .id = 1}});
  for (const double x : rig.out->Get()) EXPECT_EQ(x, 0.0);
}

TEST(CachedAttention, NanIsNotHidden) {
  Rig rig(DType::kF32, {});
  rig.Put(0, 0, 1);  // place 1 stays as it was made, a NaN
  rig.Run({{.sequence = 0, .prefix = 2, .tree = {}, .id = 1},
           {.sequence = 0, .prefix = 1, .tree = {}, .id = 1}});
  const Doubles found = rig.out->Get();
  EXPECT_TRUE(std::isnan(found.front()));
  EXPECT_FALSE(std::isnan(found.back()));
}

// A path through a tree of drafts against the same tokens decoded one after the other.
TEST(CachedAttention, TreesAndBatchesKeepTheBits) {
  const int threads = omp_get_max_threads();
  // The paths go on over the end of a chunk.
  const int32_t prefix = kKeyChunk - 4;
  for (const int64_t window : {0, 100}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const CacheSizes sizes{.d = 16, .capacity = prefix + 128, .window = window};
      Rig tree(dtype, sizes), plain(dtype, sizes);
      for (Rig* rig : {&tree, &plain}) {
        rig->Put(0, 0, 0, prefix);
        rig->Put(1, 0, 1000, 70);
      }
      // Tokens 2000.. at every second place of the tree, others between them.
      std::vector<Query> in_tree, alone;
      std::vector<int> path;
      const int depth = kMachine ? 8 : 20;
      tree.Put(0, prefix, 2000, depth, 2);
      tree.Put(0, prefix + 1, 3000, depth, 2);
      plain.Put(0, prefix, 2000, depth);
      for (int i = 0; i < depth; ++i) {
        path.push_back(2 * i);
        const auto id = static_cast<uint64_t>(10 + i);
        in_tree.push_back({.sequence = 0, .prefix = prefix, .tree = path, .id = id});
        in_tree.push_back({.sequence = 1, .prefix = 70 - i, .tree = {}, .id = id});
        alone.push_back({.sequence = 0, .prefix = prefix + 1 + i, .tree = {}, .id = id});
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
  rig.Put(0, 0, 0, 10);
  rig.Put(1, 0, 20, 10);
  rig.Move({0, 0, 0, 1}, {3, 6, 9, 5}, {2, 3, 4, 0});
  const uint64_t first[] = {0, 1, 3, 6, 9}, second[] = {25, 21};
  for (int i = 0; i < 5; ++i) straight.Put(0, i, first[i]);
  for (int i = 0; i < 2; ++i) straight.Put(1, i, second[i]);
  const std::vector<Query> queries = {{.sequence = 0, .prefix = 5, .tree = {}, .id = 1},
                                      {.sequence = 1, .prefix = 2, .tree = {}, .id = 2}};
  EXPECT_EQ(rig.Run(queries), straight.Run(queries));
}

}  // namespace
}  // namespace tl
