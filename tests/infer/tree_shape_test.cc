// SPDX-License-Identifier: Apache-2.0
// Trees of drafts: their two notations, and growth against all trees there are.
#include "infer/tree_shape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/philox.h"

namespace tl {
namespace {

std::vector<RankPath> Paths(const TreeShape& shape) {
  std::vector<RankPath> paths;
  for (int node = 0; node < shape.size(); ++node) paths.push_back(shape.Path(node));
  return paths;
}

TEST(TreeShape, ProductsAndPathsAreTheSame) {
  const TreeShape shape = TreeShape::Parse("2x1x2").value();
  const std::vector<RankPath> paths = {{0},       {1},       {0, 0},    {1, 0},
                                       {0, 0, 0}, {0, 0, 1}, {1, 0, 0}, {1, 0, 1}};
  EXPECT_EQ(Paths(shape), paths);
  EXPECT_EQ(Paths(TreeShape::FromPaths(paths).value()), paths);
  EXPECT_EQ(shape.depth(), 3);
  EXPECT_EQ(shape.RanksAt(1), 2);
  EXPECT_EQ(shape.RanksAt(2), 1);
  EXPECT_EQ(shape.RanksAt(4), 0);
  EXPECT_EQ(Paths(shape.First(3)), (std::vector<RankPath>{{0}, {1}, {0, 0}}));
  EXPECT_EQ(TreeShape().depth(), 0);
}

TEST(TreeShape, RefusesWhatIsNone) {
  for (const char* product : {"", "x", "2x", "0", "2x0", "-1", "2x-3", "ax2", "2X2", "99999999999"})
    EXPECT_FALSE(TreeShape::Parse(product).ok()) << product;
  EXPECT_TRUE(TreeShape::Parse("127").ok());
  for (const char* product : {"128", "12x11", "2147483647x2147483647"}) {
    const auto status = TreeShape::Parse(product).status();
    EXPECT_NE(status.message().find("at most 127 nodes"), std::string::npos) << status.message();
  }
  const auto refuse = [](const std::vector<RankPath>& paths, const std::string& part) {
    const auto status = TreeShape::FromPaths(paths).status();
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  };
  refuse({{0}, {0, 1, 0}}, "[0, 1, 0] comes before its parent");
  refuse({{0}, {1}, {0}}, "[0] is there twice");
  refuse({{}}, "[] is no path");
  refuse({{0}, {-1}}, "[-1] is no path");
  refuse(std::vector<RankPath>(128, RankPath{0}), "at most 127 nodes");
}

// Chances of every path, as a table that any chance at all is looked up in.
PathChance RandomChances(uint64_t seed) {
  return [seed](const RankPath& path) {
    uint64_t key = 1;
    for (const int rank : path) key = key * 8 + static_cast<uint64_t>(rank);
    return static_cast<double>(Philox(seed, key, 0).w[0]) * 0x1p-32 / 2.0;
  };
}

double Value(const RankPath& path, const PathChance& chance) {
  double value = 1.0;
  for (size_t n = 1; n <= path.size(); ++n)
    value *= chance(RankPath(path.begin(), path.begin() + static_cast<int64_t>(n)));
  return value;
}

// The most that any tree of so many nodes has altogether, by trying all.
double BestOfAll(int nodes, int depth, int ranks, const PathChance& chance) {
  std::vector<RankPath> all;
  const std::function<void(const RankPath&)> list = [&](const RankPath& path) {
    if (static_cast<int>(path.size()) == depth) return;
    for (int rank = 0; rank < ranks; ++rank) {
      RankPath child = path;
      child.push_back(rank);
      all.push_back(child);
      list(child);
    }
  };
  list({});
  double best = 0.0;
  std::set<RankPath> taken;
  const std::function<void(size_t, double)> choose = [&](size_t from, double sum) {
    if (static_cast<int>(taken.size()) == nodes) best = std::max(best, sum);
    if (static_cast<int>(taken.size()) == nodes || from == all.size()) return;
    choose(from + 1, sum);
    const RankPath& path = all[from];
    if (path.size() > 1 && taken.count(RankPath(path.begin(), path.end() - 1)) == 0) return;
    taken.insert(path);
    choose(from + 1, sum + Value(path, chance));
    taken.erase(path);
  };
  choose(0, 0.0);
  return best;
}

TEST(GrowTree, IsTheBestOfAllTrees) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const PathChance chance = RandomChances(seed);
    for (int nodes = 1; nodes <= 5; ++nodes) {
      std::vector<double> values;
      const TreeShape tree = GrowTree(nodes, 3, 2, chance, &values);
      ASSERT_EQ(tree.size(), nodes);
      ASSERT_EQ(values.size(), static_cast<size_t>(nodes));
      double sum = 0.0;
      for (int node = 0; node < nodes; ++node) {
        EXPECT_DOUBLE_EQ(values[static_cast<size_t>(node)], Value(tree.Path(node), chance));
        sum += values[static_cast<size_t>(node)];
      }
      EXPECT_NEAR(sum, BestOfAll(nodes, 3, 2, chance), 1e-12) << "seed " << seed;
      EXPECT_TRUE(TreeShape::FromPaths(Paths(tree)).ok());
      EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
    }
  }
}

TEST(GrowTree, StopsWhereNothingIsLeft) {
  const auto half = [](const RankPath&) { return 0.5; };
  EXPECT_EQ(GrowTree(100, 2, 3, half, nullptr).size(), 3 + 9);
  EXPECT_EQ(GrowTree(1000, 8, 3, half, nullptr).size(), 127);
  EXPECT_EQ(GrowTree(8, 0, 3, half, nullptr).size(), 0);
  EXPECT_EQ(GrowTree(8, 3, 3, [](const RankPath&) { return 0.0; }, nullptr).size(), 0);
  // Of equals the shorter, then the lower.
  EXPECT_EQ(Paths(GrowTree(
                3, 2, 2, [](const RankPath&) { return 1.0; }, nullptr)),
            (std::vector<RankPath>{{0}, {1}, {0, 0}}));
}

}  // namespace
}  // namespace tl
