// SPDX-License-Identifier: Apache-2.0
#include "infer/decoder.h"

#include <algorithm>
#include <chrono>

namespace tl {
namespace {

class Timer {
 public:
  explicit Timer(double* seconds) : seconds_(seconds), start_(Clock::now()) {}
  ~Timer() { *seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  Timer(const Timer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  double* seconds_;
  Clock::time_point start_;
};

// The rows of one sequence: its last token, then its drafts, each of which sees its ancestors.
void AddRows(const Sequence& sequence, const DraftTree& tree, DecodeBatch* batch) {
  const int64_t position = sequence.position();
  AncestorBits root{};
  SetAncestor(root, 0);
  batch->Add(sequence.tokens.back(), position, sequence.slot, position, position, root);
  const std::vector<int> depths = tree.Depths();
  std::vector<AncestorBits> bits;
  for (int i = 0; i < tree.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const int parent = tree.parents[at];
    bits.push_back(parent < 0 ? root : bits[static_cast<size_t>(parent)]);
    SetAncestor(bits.back(), 1 + i);
    batch->Add(tree.tokens[at], position + depths[at], sequence.slot, position + 1 + i, position,
               bits.back());
  }
}

int64_t& At(std::vector<int64_t>& counts, size_t i) {
  if (counts.size() <= i) counts.resize(i + 1);
  return counts[i];
}

double RatioAt(const std::vector<int64_t>& a, const std::vector<int64_t>& b, size_t i) {
  if (i >= b.size() || b[i] == 0) return 0.0;
  return i < a.size() ? static_cast<double>(a[i]) / static_cast<double>(b[i]) : 0.0;
}

}  // namespace

double DraftCounts::Conditional(size_t depth) const { return RatioAt(taken, tried, depth); }
double DraftCounts::Unconditional(size_t depth) const { return RatioAt(taken, offered, depth); }

double DecodeStats::tau() const {
  return sequence_passes == 0 ? 0.0
                              : static_cast<double>(tokens) / static_cast<double>(sequence_passes);
}

double DecodeStats::tokens_per_second() const {
  return seconds() > 0.0 ? static_cast<double>(tokens) / seconds() : 0.0;
}

std::vector<DraftTree> Decoder::Draft(absl::Span<Sequence* const> live) {
  if (drafter_ == nullptr) return std::vector<DraftTree>(live.size());
  std::vector<DraftRequest> requests;
  for (const Sequence* sequence : live) {
    // Drafts stay within the context, and leave room for the token that follows them.
    const int64_t room = model_.limits().context - 1 - sequence->position();
    const int64_t left = options_.max_tokens - sequence->generated() - 1;
    requests.push_back({sequence, std::max<int64_t>(0, std::min(room, left))});
  }
  return drafter_->Propose(requests);
}

Decoder::Outcome Decoder::Record(const DraftTree& tree, const Verdict& verdict, int64_t kept,
                                 bool ended) {
  DraftCounts& counts = stats_.drafts;
  Outcome outcome;
  const std::vector<int> depths = tree.Depths();
  int64_t deepest = 0;
  for (const int depth : depths) {
    if (ended && depth > kept) continue;
    ++outcome.drafted;
    deepest = std::max<int64_t>(deepest, depth);
  }
  outcome.accepted = std::min(kept, static_cast<int64_t>(verdict.path.size()));
  for (int64_t depth = 0; depth < deepest; ++depth) {
    const auto at = static_cast<size_t>(depth);
    ++At(counts.offered, at);
    const int above = depth == 0 ? -1 : depth <= outcome.accepted ? verdict.path[at - 1] : -2;
    const bool tried =
        std::find(tree.parents.begin(), tree.parents.end(), above) != tree.parents.end();
    At(counts.tried, at) += tried ? 1 : 0;
    At(counts.taken, at) += depth < outcome.accepted ? 1 : 0;
  }
  ++stats_.sequence_passes;
  stats_.tokens += kept;
  stats_.drafted += outcome.drafted;
  return outcome;
}

void Decoder::Prefill(absl::Span<Sequence* const> live) {
  for (Sequence* sequence : live) {
    FitContext(*sequence, model_.limits().context);
    const auto past = absl::MakeConstSpan(sequence->tokens)
                          .subspan(static_cast<size_t>(sequence->start + sequence->cached));
    model_.Prefill(past.first(past.size() - 1), sequence->cached, sequence->slot);
    sequence->cached = sequence->position();
  }
}

void Decoder::Take(const DraftTree& tree, const Verdict& verdict, Sequence& sequence,
                   Moves* moves) {
  const int64_t first = sequence.position() + 1;
  int64_t place = first;
  for (const int node : verdict.path) {
    sequence.tokens.push_back(tree.tokens[static_cast<size_t>(node)]);
    if (first + node != place) {
      moves->slots.push_back(static_cast<int32_t>(sequence.slot));
      moves->from.push_back(static_cast<int32_t>(first + node));
      moves->to.push_back(static_cast<int32_t>(place));
    }
    ++place;
  }
  sequence.tokens.push_back(verdict.next);
  sequence.cached = sequence.position();
}

std::vector<Decoder::Outcome> Decoder::Pass(absl::Span<Sequence* const> live, const CutAtEnd& cut) {
  {
    const Timer timer(&stats_.prefill_seconds);
    Prefill(live);
  }
  std::vector<DraftTree> trees;
  {
    const Timer timer(&stats_.draft_seconds);
    trees = Draft(live);
  }
  std::vector<int64_t> sizes;
  for (const Sequence* sequence : live) sizes.push_back(sequence->size());
  std::vector<Verdict> verdicts;
  {
    const Timer timer(&stats_.verify_seconds);
    verdicts = RunAndVerify(live, trees);
  }
  ++stats_.passes;
  std::vector<Outcome> outcomes;
  for (size_t i = 0; i < live.size(); ++i) {
    const bool ended = cut && cut(i);
    outcomes.push_back(Record(trees[i], verdicts[i], live[i]->size() - sizes[i], ended));
  }
  return outcomes;
}

std::vector<Verdict> Decoder::RunAndVerify(absl::Span<Sequence* const> live,
                                           const std::vector<DraftTree>& trees) {
  DecodeBatch batch;
  for (size_t i = 0; i < live.size(); ++i) AddRows(*live[i], trees[i], &batch);
  DecodePart part = drafter_ != nullptr ? drafter_->Resume() : DecodePart{};
  part.logits_end = batch.rows();
  part.likeliest = LikeliestFor(options_.sampling, model_.vocab());
  RowLogits logits;
  model_.Run(batch, part, &logits);

  std::vector<Verdict> verdicts;
  Moves moves;
  int64_t row = 0;
  for (size_t i = 0; i < live.size(); ++i) {
    Sequence& sequence = *live[i];
    std::vector<Distribution> distributions;
    for (int node = -1; node < trees[i].size(); ++node)
      distributions.push_back(TokenDistribution(logits[row++], options_.sampling));
    const auto uniform = [&, size = sequence.size()](int depth, Randomness use) {
      return UniformFor(options_.seed, sequence.id, size + depth, use);
    };
    verdicts.push_back(
        Verify(options_.verification, trees[i], distributions, uniform, options_.typical));
    Take(trees[i], verdicts.back(), sequence, &moves);
  }
  model_.MoveRows(moves.slots, moves.from, moves.to);
  return verdicts;
}

}  // namespace tl
