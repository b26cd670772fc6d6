// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "infer/drafter.h"

namespace tl {
namespace {

constexpr int64_t kLongestMatch = 16;  // longer ones are as good
constexpr int64_t kShortestMatch = 2;

struct Occurrence {
  int64_t next = 0;    // the token after it
  int64_t length = 0;  // how many of the last tokens it repeats
};

// Longest first, the latest of equals first.
std::vector<Occurrence> Occurrences(const std::vector<int32_t>& tokens) {
  std::vector<Occurrence> found;
  const auto size = static_cast<int64_t>(tokens.size());
  for (int64_t next = size - 1; next > 0; --next) {
    int64_t length = 0;
    while (length < std::min(next, kLongestMatch) &&
           tokens[static_cast<size_t>(next - 1 - length)] ==
               tokens[static_cast<size_t>(size - 1 - length)])
      ++length;
    if (length >= kShortestMatch) found.push_back({next, length});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Occurrence& a, const Occurrence& b) { return a.length > b.length; });
  return found;
}

}  // namespace

std::vector<DraftTree> LookupDrafter::Propose(absl::Span<const DraftRequest> requests) {
  std::vector<DraftTree> trees(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<int32_t>& tokens = requests[i].sequence->tokens;
    DraftTree& tree = trees[i];
    int64_t branches = 0;
    for (const Occurrence& occurrence : Occurrences(tokens)) {
      const auto available = static_cast<int64_t>(tokens.size()) - occurrence.next;
      const int before = tree.size();
      int parent = -1;
      // Each branch gets an equal share of the drafts, and what others left of theirs.
      const int64_t most = options_.drafts * (branches + 1) / options_.branches;
      for (int64_t j = 0; j < std::min(available, requests[i].depth); ++j) {
        const int32_t token = tokens[static_cast<size_t>(occurrence.next + j)];
        int node = tree.Child(parent, token);
        if (node < 0 && tree.size() >= most) break;
        if (node < 0) node = tree.Add(token, parent);
        parent = node;
      }
      if (tree.size() == before) continue;
      if (++branches == options_.branches || tree.size() >= options_.drafts) break;
    }
  }
  return trees;
}

}  // namespace tl
