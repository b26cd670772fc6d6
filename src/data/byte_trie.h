// SPDX-License-Identifier: Apache-2.0
// A trie over bytes, made once and then only read: which of a set of strings a text begins with.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tl::internal {

class ByteTrie {
 public:
  ByteTrie() = default;
  // Strings, sorted and all different, none empty, each with a value from 0 up.
  explicit ByteTrie(const std::vector<std::pair<std::string, int32_t>>& sorted);

  // Calls found(length, value) for each of the strings that text begins with, shortest first.
  template <typename F>
  void ForEachPrefix(absl::string_view text, F&& found) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const uint32_t next = Child(node, text[i]);
      if (next == 0) return;
      node = next;
      if (nodes_[node].value >= 0) found(i + 1, nodes_[node].value);
    }
  }

 private:
  struct Node {
    uint32_t first = 0, count = 0;  // of its edges
    int32_t value = -1;             // -1: no string ends here
  };

  // Returns 0 where there is none: the root is nobody's child.
  uint32_t Child(uint32_t node, char label) const {
    if (node == 0) return root_[static_cast<unsigned char>(label)];
    const Node& n = nodes_[node];
    if (n.count == 0) return 0;
    const char* labels = labels_.data() + n.first;
    const void* at = std::memchr(labels, label, n.count);
    return at == nullptr ? 0 : children_[n.first + (static_cast<const char*>(at) - labels)];
  }

  std::vector<Node> nodes_ = {Node()};
  std::string labels_;              // of edges, a node's side by side
  std::vector<uint32_t> children_;  // where they lead
  uint32_t root_[256] = {};         // the root's edges by label
};

}  // namespace tl::internal
