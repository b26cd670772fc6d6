// SPDX-License-Identifier: Apache-2.0
// Which drafts a tree of drafts holds, told by rank: a node at depth d stands for "the r-th
// likeliest token of the head that drafts d places ahead", r from 0. Fixed from pass to pass (Cai
// et al. 2024); the tokens are filled in by the heads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tl {

using RankPath = std::vector<int>;  // from the root down

class TreeShape {
 public:
  struct Node {
    int parent = -1;  // an index; -1: the root, the token before the drafts
    int rank = 0;
  };

  // "4x2x1": the 4 likeliest tokens of the first head, below each the 2 likeliest of the second,
  // and so on. "1x1x1" is a chain. Refuses more nodes than fit into a pass.
  static absl::StatusOr<TreeShape> Parse(const std::string& product);
  // Paths of all nodes, each after its parent's, as they write their choices. Refuses what is no
  // such list.
  static absl::StatusOr<TreeShape> FromPaths(absl::Span<const RankPath> paths);

  const std::vector<Node>& nodes() const { return nodes_; }
  int size() const { return static_cast<int>(nodes_.size()); }
  bool empty() const { return nodes_.empty(); }
  int depth() const;             // of the deepest node, its first ones at 1; 0: no nodes
  int Depth(int node) const;     // from 1
  int RanksAt(int depth) const;  // 1 + the greatest rank at this depth, 0 where there is none
  RankPath Path(int node) const;
  TreeShape First(int nodes) const;  // these alone
  void Add(int parent, int rank) { nodes_.push_back({parent, rank}); }

 private:
  std::vector<Node> nodes_;  // parents before their children
};

// P(the last draft of the path is right | those before it are).
using PathChance = std::function<double(const RankPath&)>;

// The tree of up to so many nodes from which the most drafts are expected to be taken: every node
// is taken with the product of the chances on its path, and one node after the other is added where
// that is greatest. A node is never likelier than its parent, so the first n nodes are the best
// tree of n. values: P(node is taken), one by one, may be null. Ties: the shorter, then the lower
// path.
TreeShape GrowTree(int nodes, int depth, int ranks, const PathChance& chance,
                   std::vector<double>* values);

}  // namespace tl
