// SPDX-License-Identifier: Apache-2.0
#include "infer/tree_shape.h"

#include <algorithm>
#include <map>
#include <queue>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/cached_attention.h"

namespace tl {
namespace {

constexpr int kMostNodes = static_cast<int>(kTreeKeys) - 1;  // the root needs a place too

absl::Status TooMany() {
  return absl::InvalidArgumentError(
      absl::StrCat("a tree of drafts has at most ", kMostNodes, " nodes"));
}

}  // namespace

absl::StatusOr<TreeShape> TreeShape::Parse(const std::string& product) {
  TreeShape shape;
  std::vector<int> level = {-1};
  for (const auto& part : absl::StrSplit(product, 'x')) {
    int ranks = 0;
    if (!absl::SimpleAtoi(part, &ranks) || ranks < 1)
      return absl::InvalidArgumentError(
          absl::StrCat("expected numbers of tokens from 1 up, as 4x2x1, found ", product));
    if (ranks * static_cast<int64_t>(level.size()) + shape.size() > kMostNodes) return TooMany();
    std::vector<int> next;
    for (const int parent : level) {
      for (int rank = 0; rank < ranks; ++rank) {
        next.push_back(shape.size());
        shape.Add(parent, rank);
      }
    }
    level = std::move(next);
  }
  return shape;
}

absl::StatusOr<TreeShape> TreeShape::FromPaths(absl::Span<const RankPath> paths) {
  if (static_cast<int64_t>(paths.size()) > kMostNodes) return TooMany();
  TreeShape shape;
  std::map<RankPath, int> known = {{{}, -1}};
  for (const RankPath& path : paths) {
    const std::string name = absl::StrCat("[", absl::StrJoin(path, ", "), "]");
    if (path.empty() || path.back() < 0)
      return absl::InvalidArgumentError(absl::StrCat(name, " is no path of ranks from 0 up"));
    const auto parent = known.find(RankPath(path.begin(), path.end() - 1));
    if (parent == known.end())
      return absl::InvalidArgumentError(absl::StrCat(name, " comes before its parent"));
    if (!known.emplace(path, shape.size()).second)
      return absl::InvalidArgumentError(absl::StrCat(name, " is there twice"));
    shape.Add(parent->second, path.back());
  }
  return shape;
}

int TreeShape::Depth(int node) const {
  int depth = 0;
  for (; node >= 0; node = nodes_[static_cast<size_t>(node)].parent) ++depth;
  return depth;
}

int TreeShape::depth() const {
  int depth = 0;
  for (int node = 0; node < size(); ++node) depth = std::max(depth, Depth(node));
  return depth;
}

int TreeShape::RanksAt(int depth) const {
  int ranks = 0;
  for (int node = 0; node < size(); ++node) {
    if (Depth(node) == depth) ranks = std::max(ranks, 1 + nodes_[static_cast<size_t>(node)].rank);
  }
  return ranks;
}

RankPath TreeShape::Path(int node) const {
  RankPath path;
  for (; node >= 0; node = nodes_[static_cast<size_t>(node)].parent)
    path.insert(path.begin(), nodes_[static_cast<size_t>(node)].rank);
  return path;
}

TreeShape TreeShape::First(int nodes) const {
  TreeShape first = *this;
  first.nodes_.resize(static_cast<size_t>(std::min(nodes, size())));
  return first;
}

TreeShape GrowTree(int nodes, int depth, int ranks, const PathChance& chance,
                   std::vector<double>* values) {
  struct Candidate {
    double value;
    RankPath path;
    int parent;
  };
  const auto worse = [](const Candidate& a, const Candidate& b) {
    if (a.value != b.value) return a.value < b.value;
    if (a.path.size() != b.path.size()) return a.path.size() > b.path.size();
    return a.path > b.path;
  };
  std::priority_queue<Candidate, std::vector<Candidate>, decltype(worse)> candidates(worse);
  const auto offer_children = [&](int parent, const RankPath& path, double value) {
    if (static_cast<int>(path.size()) >= depth) return;
    for (int rank = 0; rank < ranks; ++rank) {
      Candidate child{.value = value, .path = path, .parent = parent};
      child.path.push_back(rank);
      child.value *= chance(child.path);
      candidates.push(std::move(child));
    }
  };
  TreeShape shape;
  if (values != nullptr) values->clear();
  offer_children(-1, {}, 1.0);
  while (shape.size() < std::min(nodes, kMostNodes) && !candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    if (best.value <= 0.0) break;  // never right
    offer_children(shape.size(), best.path, best.value);
    shape.Add(best.parent, best.path.back());
    if (values != nullptr) values->push_back(best.value);
  }
  return shape;
}

}  // namespace tl
