// SPDX-License-Identifier: Apache-2.0
// States by bucket: each bucket has the roles that the optimizer names for it, and no others.
#include "optim/sharded_state.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "checkpoint/local_pieces.h"
#include "tests/engine/rig.h"

namespace tl {
namespace {

constexpr int64_t kF32 = sizeof(float);

class States : public testing::Test {
 protected:
  States() : rig_(TwoLayers()), table_(rig_->engine().params()) {
    // A matrix optimizer beside AdamW would ask for something like this.
    const int buckets = static_cast<int>(table_.buckets().size());
    for (int b = 0; b < buckets; ++b) {
      roles_.push_back(b % 3 == 0   ? std::vector<std::string>{"momentum"}
                       : b % 3 == 1 ? std::vector<std::string>{"m", "v"}
                                    : std::vector<std::string>{});
    }
  }
  static Config TwoLayers() {
    Config config = SmallConfig();
    config.run.device = "cpu";
    return config;
  }
  bool BucketHas(int bucket, const std::string& role) const {
    const auto& of = roles_[bucket];
    return std::find(of.begin(), of.end(), role) != of.end();
  }

  Rig rig_;
  const ParamTable& table_;
  BucketRoles roles_;
};

TEST_F(States, EveryBucketHasItsOwn) {
  ASSERT_GE(table_.buckets().size(), 6) << "the test's point";
  ShardedState state(table_, rig_.mesh(), {}, rig_->engine().weights(), roles_);
  EXPECT_EQ(state.roles(), (std::vector<std::string>{"momentum", "m", "v"}));
  EXPECT_EQ(state.Find("v"), 2);
  EXPECT_EQ(state.Find(kAverageRole), -1);
  int64_t bytes = 0;
  for (size_t b = 0; b < roles_.size(); ++b) {
    const int bucket = static_cast<int>(b);
    bytes += std::ssize(roles_[b]) * table_.buckets()[b].size() * kF32;
    for (const std::string& role : state.roles())
      EXPECT_EQ(state.Has(state.Find(role), bucket), BucketHas(bucket, role)) << role << " " << b;
  }
  EXPECT_EQ(state.state_bytes(), bytes);
  EXPECT_EQ(ShardedState::Bytes(table_, DType::kF32, roles_), bytes);
  EXPECT_EQ(ShardedState::Bytes(table_, DType::kBF16, roles_), bytes + table_.elements() * kF32);
  // Every element of every state has a place of its own.
  std::set<const std::byte*> places;
  for (size_t b = 0; b < roles_.size(); ++b) {
    for (const std::string& role : roles_[b]) {
      for (int64_t i = table_.buckets()[b].begin; i < table_.buckets()[b].end; ++i) {
        int64_t run = 0;
        const int64_t shard = state.ShardOffset(i, &run);
        EXPECT_TRUE(places.insert(state.State(state.Find(role), shard, 1).data).second);
      }
    }
  }
  EXPECT_EQ(std::ssize(places) * kF32, bytes);
  // What is treated alike has the same states: a segment never leaves its bucket for one of others.
  for (const Segment& s : state.segments()) {
    std::set<std::vector<std::string>> kinds;
    for (size_t b = 0; b < roles_.size(); ++b) {
      const Bucket& bucket = table_.buckets()[b];
      if (s.flat < bucket.end && s.flat + s.size > bucket.begin) kinds.insert(roles_[b]);
    }
    EXPECT_EQ(kinds.size(), 1);
  }
}

TEST_F(States, CheckpointsHoldThoseThatThereAre) {
  const ShardedState state(table_, rig_.mesh(), {}, rig_->engine().weights(), roles_);
  const std::vector<TensorRecord> tensors = TensorsOf(table_, roles_);
  std::map<std::string, int64_t> stored;  // elements by dataset
  for (const LocalPiece& piece : PiecesOf(table_, state, -1, Copies::kOne))
    stored[DatasetName(tensors[piece.tensor])] += piece.end - piece.begin;
  std::map<std::string, int64_t> expected;
  for (ParamId id = 0; id < table_.size(); ++id) {
    for (const ParamPart& part : table_[id].spec.parts) {
      expected["/weight/" + part.name] = part.shape.elements();
      for (const std::string& role : roles_[table_[id].bucket])
        expected["/" + role + "/" + part.name] = part.shape.elements();
    }
  }
  EXPECT_EQ(stored, expected);
  EXPECT_EQ(tensors.size(), expected.size());
}

}  // namespace
}  // namespace tl
