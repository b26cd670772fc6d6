// SPDX-License-Identifier: Apache-2.0
// Which drafted tokens a sequence takes, and the token that follows them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "infer/sampling.h"

namespace tl {

// Continuations proposed for one sequence, as a tree below the sequence's last token. Parents come
// before their children; children of one node differ in their tokens.
struct DraftTree {
  std::vector<int32_t> tokens;
  std::vector<int> parents;  // an index, or -1: the sequence's last token
  // Where drafts were sampled: the distribution each was drawn from. Empty: they were not.
  std::vector<Distribution> distributions;

  int size() const { return static_cast<int>(tokens.size()); }
  bool empty() const { return tokens.empty(); }
  int Add(int32_t token, int parent) {
    tokens.push_back(token);
    parents.push_back(parent);
    return size() - 1;
  }
  int Child(int parent, int32_t token) const;  // -1: none
  std::vector<int> Depths() const;             // 1: follows the sequence's last token
  bool chain() const;                          // every node has the one before it as its parent
};

enum class Verification : uint8_t {
  // At every node one token is drawn from the model's distribution; where it was drafted, the draft
  // is taken and the next draw stands below it, else the token is emitted and the pass ends.
  // Lossless for every tree; the draws are those of plain decoding, so the text is the same to the
  // token.
  kMatch,
  // Leviathan et al. 2023, Chen et al. 2023: a draft x ~ q is taken with probability min(1, p(x) /
  // q(x)), else a token is drawn from norm(max(p - q, 0)); after the last, one from p. Lossless in
  // distribution; takes more than kMatch where drafts are sampled. Chains with distributions.
  kRejection,
  // Cai et al. 2024: x is taken where p(x) > min(epsilon, delta exp(-H(p))); the longest
  // path taken wins, the likelier of equals. Not lossless: the text follows another distribution.
  kTypical
};

const char* Name(Verification verification);  // "match", "rejection", "typical"
absl::StatusOr<Verification> VerificationNamed(const std::string& name);

struct TypicalOptions {
  double epsilon = 0.09;
  double delta = 0.3;
};

struct Verdict {
  std::vector<int> path;  // nodes taken, from the root down
  int32_t next = 0;       // the token after them
};

// model[0] is the model's distribution after the sequence's last token, model[1 + i] that after
// node i. uniform(depth, use): the random numbers of the token `depth` places after the last.
Verdict Verify(Verification verification, const DraftTree& tree,
               const std::vector<Distribution>& model,
               const std::function<double(int, Randomness)>& uniform,
               const TypicalOptions& typical = {});

}  // namespace tl
