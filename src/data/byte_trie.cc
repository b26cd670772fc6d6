// SPDX-License-Identifier: Apache-2.0
#include "data/byte_trie.h"

namespace tl::internal {

ByteTrie::ByteTrie(const std::vector<std::pair<std::string, int32_t>>& sorted) {
  // Nodes are made level by level: each stands for the strings of a range that share its prefix.
  struct Range {
    size_t begin, end;
  };
  std::vector<Range> ranges = {{0, sorted.size()}};
  size_t depth = 0;
  for (size_t level_end = 1, node = 0; node < nodes_.size(); ++node) {
    if (node == level_end) {
      ++depth;
      level_end = nodes_.size();
    }
    auto [begin, end] = ranges[node];
    if (begin < end && sorted[begin].first.size() == depth && depth > 0) {
      nodes_[node].value = sorted[begin].second;
      ++begin;
    }
    nodes_[node].first = static_cast<uint32_t>(children_.size());
    while (begin < end) {
      const char label = sorted[begin].first[depth];
      size_t last = begin;
      while (last < end && sorted[last].first[depth] == label) ++last;
      const auto child = static_cast<uint32_t>(nodes_.size());
      labels_.push_back(label);
      children_.push_back(child);
      if (node == 0) root_[static_cast<unsigned char>(label)] = child;
      nodes_.emplace_back();
      ranges.push_back({begin, last});
      begin = last;
    }
    nodes_[node].count = static_cast<uint32_t>(children_.size()) - nodes_[node].first;
  }
}

}  // namespace tl::internal
