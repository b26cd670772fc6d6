// SPDX-License-Identifier: Apache-2.0
#include "infer/verify.h"

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace tl {
namespace {

struct NamedVerification {
  Verification kind;
  const char* name;
};
constexpr std::array kVerifications = {NamedVerification{Verification::kMatch, "match"},
                                       NamedVerification{Verification::kRejection, "rejection"},
                                       NamedVerification{Verification::kTypical, "typical"}};

using Distributions = std::vector<Distribution>;
using Uniform = std::function<double(int, Randomness)>;

Verdict Match(const DraftTree& tree, const Distributions& model, const Uniform& uniform) {
  Verdict verdict;
  int node = -1;
  for (int depth = 0;; ++depth) {
    verdict.next =
        DrawToken(model[static_cast<size_t>(1 + node)], uniform(depth, Randomness::kToken));
    node = tree.Child(node, verdict.next);
    if (node < 0) return verdict;
    verdict.path.push_back(node);
  }
}

Verdict Reject(const DraftTree& tree, const Distributions& model, const Uniform& uniform) {
  TL_CHECK(tree.chain() && tree.distributions.size() == tree.tokens.size());
  Verdict verdict;
  for (int i = 0; i < tree.size(); ++i) {
    const Distribution& p = model[static_cast<size_t>(i)];
    const Distribution& q = tree.distributions[static_cast<size_t>(i)];
    const int32_t x = tree.tokens[static_cast<size_t>(i)];
    // u < p / q, without dividing.
    if (uniform(i, Randomness::kAccept) * q[x] < p[x]) {
      verdict.path.push_back(i);
      continue;
    }
    verdict.next = DrawToken(ResidualDistribution(p, q), uniform(i, Randomness::kToken));
    return verdict;
  }
  verdict.next = DrawToken(model.back(), uniform(tree.size(), Randomness::kToken));
  return verdict;
}

double Entropy(const Distribution& distribution) {
  double entropy = 0.0;
  for (const float x : distribution.p)
    entropy -= x > 0.0f ? x * std::log(static_cast<double>(x)) : 0.0;
  return entropy;
}

Verdict TypicalPath(const DraftTree& tree, const Distributions& model, const Uniform& uniform,
                    const TypicalOptions& options) {
  const std::vector<int> depths = tree.Depths();
  std::vector<double> likelihood(tree.tokens.size(), -HUGE_VAL);  // of paths taken
  int best = -1;
  for (int i = 0; i < tree.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const int parent = tree.parents[at];
    const double before = parent < 0 ? 0.0 : likelihood[static_cast<size_t>(parent)];
    if (before == -HUGE_VAL) continue;
    const Distribution& p = model[static_cast<size_t>(1 + parent)];
    const double x = p[tree.tokens[at]];
    if (x <= std::min(options.epsilon, options.delta * std::exp(-Entropy(p)))) continue;
    likelihood[at] = before + std::log(x);
    const bool better = best < 0 || depths[at] > depths[static_cast<size_t>(best)] ||
                        (depths[at] == depths[static_cast<size_t>(best)] &&
                         likelihood[at] > likelihood[static_cast<size_t>(best)]);
    if (better) best = i;
  }
  Verdict verdict;
  for (int node = best; node >= 0; node = tree.parents[static_cast<size_t>(node)])
    verdict.path.insert(verdict.path.begin(), node);
  verdict.next = DrawToken(model[static_cast<size_t>(1 + best)],
                           uniform(static_cast<int>(verdict.path.size()), Randomness::kToken));
  return verdict;
}

}  // namespace

int DraftTree::Child(int parent, int32_t token) const {
  for (int i = 0; i < size(); ++i) {
    if (parents[static_cast<size_t>(i)] == parent && tokens[static_cast<size_t>(i)] == token)
      return i;
  }
  return -1;
}

std::vector<int> DraftTree::Depths() const {
  std::vector<int> depths;
  for (const int parent : parents)
    depths.push_back(parent < 0 ? 1 : depths[static_cast<size_t>(parent)] + 1);
  return depths;
}

bool DraftTree::chain() const {
  for (int i = 0; i < size(); ++i) {
    if (parents[static_cast<size_t>(i)] != i - 1) return false;
  }
  return true;
}

const char* Name(Verification verification) {
  for (const NamedVerification& v : kVerifications) {
    if (v.kind == verification) return v.name;
  }
  return "";
}

absl::StatusOr<Verification> VerificationNamed(const std::string& name) {
  std::string names;
  for (const NamedVerification& v : kVerifications) {
    if (name == v.name) return v.kind;
    absl::StrAppend(&names, names.empty() ? "" : ", ", v.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("--verify ", name, ": expected one of ", names));
}

Verdict Verify(Verification verification, const DraftTree& tree, const Distributions& model,
               const Uniform& uniform, const TypicalOptions& typical) {
  TL_CHECK_EQ(model.size(), tree.tokens.size() + 1);
  switch (verification) {
    case Verification::kMatch:
      return Match(tree, model, uniform);
    case Verification::kRejection:
      return Reject(tree, model, uniform);
    case Verification::kTypical:
      return TypicalPath(tree, model, uniform, typical);
  }
  return {};
}

}  // namespace tl
