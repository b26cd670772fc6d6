// SPDX-License-Identifier: Apache-2.0
// The layout of parameters, and initial values that no grid can change.
#include "nn/params.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace tl {
namespace {

// q | k | v with 6 query and 2 key/value heads of 4 rows each, k and v shared by tensor ranks where
// these are more than 2; names, sizes that do not divide, and both split axes.
std::vector<ParamSpec> Specs(int tensor_size) {
  const int replicas = std::max(1, tensor_size / 2);
  return {
      {.name = "embedding",
       .parts = {{.name = "embedding", .shape = {13, 5}, .split_axis = 0}},
       .kind = ParamKind::kEmbedding},
      {.name = "norm",
       .parts = {{.name = "norm", .shape = {7}}},
       .init = InitKind::kOnes,
       .kind = ParamKind::kNorm},
      {.name = "qkv",
       .parts = {{.name = "q", .shape = {24, 5}, .split_axis = 0},
                 {.name = "k", .shape = {8, 5}, .split_axis = 0, .replicas = replicas},
                 {.name = "v", .shape = {8, 5}, .split_axis = 0, .replicas = replicas}}},
      {.name = "bias",
       .parts = {{.name = "bias", .shape = {24}, .split_axis = 0}},
       .init = InitKind::kZeros,
       .kind = ParamKind::kBias},
      {.name = "out",
       .parts = {{.name = "out", .shape = {5, 24}, .split_axis = 1}},
       .init_std = 0.5},
      {.name = "ragged", .parts = {{.name = "ragged", .shape = {3, 10}, .split_axis = 1}}},
  };
}

ParamTable Table(int data_size, int tensor_size, int tensor_rank, int64_t bucket_elements) {
  ParamTable table(data_size, tensor_size, tensor_rank);
  for (const ParamSpec& spec : Specs(tensor_size)) table.Declare(spec);
  table.Layout(bucket_elements);
  return table;
}

// Frozen parameters follow those that are trained, in buckets of their own.
TEST(ParamTable, FrozenParametersComeLast) {
  ParamTable table(2, 1, 0);
  for (ParamSpec spec : Specs(1)) {
    spec.trainable = spec.name != "qkv" && spec.name != "embedding";
    table.Declare(spec);
  }
  table.Layout(64);
  int64_t frozen = 0;
  for (ParamId id = 0; id < table.size(); ++id) {
    const Param& param = table[id];
    const Bucket& bucket = table.buckets()[static_cast<size_t>(param.bucket)];
    EXPECT_EQ(bucket.trainable, param.spec.trainable) << param.spec.name;
    EXPECT_EQ(param.offset >= table.trainable_elements(), !param.spec.trainable);
    EXPECT_GE(param.offset, bucket.begin);
    EXPECT_LE(param.offset + param.local.elements(), bucket.end);
    frozen += param.spec.trainable ? 0 : param.local.elements();
  }
  for (const Bucket& bucket : table.buckets()) EXPECT_EQ(bucket.size() % 32, 0);
  EXPECT_GE(table.elements() - table.trainable_elements(), frozen);
}

TEST(ParamTable, LaysOutAlignedBucketsInReverseOrder) {
  for (const int data_size : {1, 2, 3, 4, 8}) {
    for (const int tensor_size : {1, 2, 4}) {
      for (const int64_t bucket_elements : {int64_t{1}, int64_t{100}, int64_t{1} << 30}) {
        const ParamTable table = Table(data_size, tensor_size, tensor_size - 1, bucket_elements);
        int64_t end = 0;
        int previous = table.size();
        for (size_t b = 0; b < table.buckets().size(); ++b) {
          const Bucket& bucket = table.buckets()[b];
          EXPECT_EQ(bucket.begin, end) << "a gap between buckets";
          EXPECT_EQ(bucket.size() % data_size, 0);
          EXPECT_EQ(bucket.begin % (16 * data_size), 0);
          ASSERT_FALSE(bucket.params.empty());
          int64_t offset = bucket.begin;
          for (const ParamId id : bucket.params) {
            EXPECT_EQ(id, --previous) << "not in reverse order of declaration";
            EXPECT_EQ(table[id].bucket, static_cast<int>(b));
            EXPECT_EQ(table[id].offset % 16, 0);
            EXPECT_GE(table[id].offset, offset) << "parameters overlap";
            EXPECT_LT(table[id].offset, offset + 16);
            offset = table[id].offset + table[id].local.elements();
            int64_t parts = 0;
            for (const PartShard& shard : table[id].shards) {
              EXPECT_EQ(shard.offset, parts);
              parts += shard.local.elements();
            }
            EXPECT_EQ(parts, table[id].local.elements());
          }
          EXPECT_LE(offset, bucket.end);
          const bool last = b + 1 == table.buckets().size();
          EXPECT_TRUE(last || bucket.size() >= bucket_elements) << bucket.size();
          end = bucket.end;
        }
        EXPECT_EQ(previous, 0);
        EXPECT_EQ(table.elements(), end);
        const auto most = static_cast<size_t>(table.size());
        if (bucket_elements != 100) {
          EXPECT_EQ(table.buckets().size(), bucket_elements == 1 ? most : 1u);
        }
      }
    }
  }
}

TEST(ParamTable, AKnownNameIsOneMoreUse) {
  ParamTable table(1, 1, 0);
  const ParamSpec spec = Specs(1)[0];
  const ParamId id = table.Declare(spec);
  EXPECT_EQ(table.Declare(spec), id);
  EXPECT_EQ(table.size(), 1);
  EXPECT_EQ(table[id].uses, 2);
  ParamSpec other = spec;
  other.parts[0].shape = {13, 6};
  EXPECT_DEATH(table.Declare(other), "embedding declared with two shapes");
}

// Every element of every part is on exactly one counted place of the tensor group, and replicas
// hold the same.
TEST(ParamTable, ShardsCoverEachPartOnce) {
  for (const int tensor_size : {1, 2, 3, 4, 6, 8}) {
    std::map<std::string, std::vector<int>> counted, held;
    for (int rank = 0; rank < tensor_size; ++rank) {
      const ParamTable table = Table(2, tensor_size, rank, 1 << 20);
      for (ParamId id = 0; id < table.size(); ++id) {
        for (const PartShard& shard : table[id].shards) {
          const std::string& name = shard.part->name;
          const auto n = static_cast<size_t>(shard.part->shape.elements());
          counted[name].resize(n);
          held[name].resize(n);
          const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
          for (int64_t r = 0; r < shard.local[0]; ++r) {
            for (int64_t c = 0; c < columns; ++c) {
              const int64_t index = GlobalIndex(shard, r, c);
              if (index < 0) continue;
              ASSERT_LT(index, static_cast<int64_t>(n)) << name;
              ++held[name][static_cast<size_t>(index)];
              counted[name][static_cast<size_t>(index)] += shard.counted;
            }
          }
        }
      }
    }
    for (const auto& [name, times] : counted) {
      EXPECT_EQ(std::count(times.begin(), times.end(), 1), static_cast<int64_t>(times.size()))
          << name << " on " << tensor_size;
      const auto [fewest, most] = std::minmax_element(held[name].begin(), held[name].end());
      EXPECT_EQ(*fewest, *most) << name;
      const bool replicated = name == "k" || name == "v";
      const int expected = name == "norm" ? tensor_size
                           : replicated   ? std::max(1, tensor_size / 2)
                                          : 1;
      if (tensor_size % 2 == 0 || !replicated) {
        EXPECT_EQ(*most, expected) << name;
      }
    }
  }
}

TEST(InitialValues, DoNotDependOnTheGrid) {
  std::map<std::string, std::vector<float>> whole;
  const ParamTable one = Table(1, 1, 0, 1 << 20);
  for (ParamId id = 0; id < one.size(); ++id) {
    std::vector<float> values(static_cast<size_t>(one[id].local.elements()), NAN);
    InitialValues(one[id], 42, values.data());
    for (const PartShard& shard : one[id].shards) {
      const auto begin = values.begin() + shard.offset;
      whole[shard.part->name].assign(begin, begin + shard.local.elements());
    }
  }
  for (const int tensor_size : {2, 4, 8}) {
    for (int rank = 0; rank < tensor_size; ++rank) {
      const ParamTable table = Table(2, tensor_size, rank, 64);
      for (ParamId id = 0; id < table.size(); ++id) {
        std::vector<float> values(static_cast<size_t>(table[id].local.elements()), NAN);
        InitialValues(table[id], 42, values.data());
        for (const PartShard& shard : table[id].shards) {
          const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
          for (int64_t r = 0; r < shard.local[0]; ++r) {
            for (int64_t c = 0; c < columns; ++c) {
              const int64_t index = GlobalIndex(shard, r, c);
              const float value = values[static_cast<size_t>(shard.offset + r * columns + c)];
              const float expected =
                  index < 0 ? 0.0f : whole.at(shard.part->name)[static_cast<size_t>(index)];
              ASSERT_EQ(value, expected) << shard.part->name << " row " << r << " column " << c
                                         << " on rank " << rank << " of " << tensor_size;
            }
          }
        }
      }
    }
  }
}

TEST(InitialValues, AreWhatTheSpecSays) {
  const ParamTable table = Table(1, 1, 0, 1 << 20);
  const auto values = [&](ParamId id, uint64_t seed) {
    std::vector<float> out(static_cast<size_t>(table[id].local.elements()));
    InitialValues(table[id], seed, out.data());
    return out;
  };
  EXPECT_EQ(values(1, 1), std::vector<float>(7, 1.0f));
  EXPECT_EQ(values(3, 1), std::vector<float>(24, 0.0f));
  EXPECT_NE(values(4, 1), values(4, 2)) << "the seed changes nothing";
  double squares = 0.0;
  int n = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (const float x : values(4, seed)) squares += x * x, ++n;
  }
  EXPECT_NEAR(std::sqrt(squares / n), 0.5, 0.02);
}

}  // namespace
}  // namespace tl
