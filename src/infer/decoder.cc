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

double Ratio(const std::vector<int64_t>& a, const std::vector<int64_t>& b, size_t i) {
  if (i >= b.size() || b[i] == 0) return 0.0;
  return i < a.size() ? static_cast<double>(a[i]) / static_cast<double>(b[i]) : 0.0;
}

}  // namespace

double DraftCounts::Conditional(size_t depth) const { return Ratio(taken, tried, depth); }
double DraftCounts::Unconditional(size_t depth) const { return Ratio(taken, offered, depth); }

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

void Decoder::Record(const DraftTree& tree, const Verdict& verdict) {
  DraftCounts& counts = stats_.drafts;
  const std::vector<int> depths = tree.Depths();
  const int deepest = depths.empty() ? 0 : *std::max_element(depths.begin(), depths.end());
  const auto accepted = static_cast<int>(verdict.path.size());
  for (int depth = 0; depth < deepest; ++depth) {
    const auto at = static_cast<size_t>(depth);
    ++At(counts.offered, at);
    const int above = depth == 0 ? -1 : depth <= accepted ? verdict.path[at - 1] : -2;
    const bool tried =
        std::find(tree.parents.begin(), tree.parents.end(), above) != tree.parents.end();
    At(counts.tried, at) += tried ? 1 : 0;
    At(counts.taken, at) += depth < accepted ? 1 : 0;
  }
  ++stats_.sequence_passes;
  stats_.tokens += accepted + 1;
  stats_.drafted += tree.size();
}

std::vector<Decoder::Outcome> Decoder::Pass(absl::Span<Sequence* const> live) {
  {
    const Timer timer(&stats_.prefill_seconds);
    for (Sequence* sequence : live) {
      FitContext(*sequence, model_.limits().context);
      const auto past = absl::MakeConstSpan(sequence->tokens)
                            .subspan(static_cast<size_t>(sequence->start + sequence->cached));
      model_.Prefill(past.first(past.size() - 1), sequence->cached, sequence->slot);
      sequence->cached = sequence->position();
    }
  }
  std::vector<DraftTree> trees;
  {
    const Timer timer(&stats_.draft_seconds);
    trees = Draft(live);
  }
  const Timer timer(&stats_.verify_seconds);
  DecodeBatch batch;
  for (size_t i = 0; i < live.size(); ++i) AddRows(*live[i], trees[i], &batch);
  DecodePart part = drafter_ != nullptr ? drafter_->Resume() : DecodePart{};
  part.logits_end = batch.rows();
  model_.Run(batch, part, &logits_);

  const auto vocab = static_cast<size_t>(model_.vocab());
  std::vector<Outcome> outcomes;
  std::vector<int32_t> slots, from, to;
  size_t row = 0;
  for (size_t i = 0; i < live.size(); ++i) {
    Sequence& sequence = *live[i];
    const DraftTree& tree = trees[i];
    std::vector<std::vector<float>> laws;
    for (int node = -1; node < tree.size(); ++node)
      laws.push_back(
          TokenLaw(absl::MakeConstSpan(logits_).subspan(row++ * vocab, vocab), options_.sampling));
    const int64_t size = sequence.size();
    const Verdict verdict = Verify(
        options_.verification, tree, laws,
        [&](int depth, Randomness use) {
          return UniformFor(options_.seed, sequence.id, size + depth, use);
        },
        options_.typical);
    Record(tree, verdict);
    // Accepted rows close up behind the last token's.
    const int64_t position = sequence.position();
    int64_t place = position + 1;
    for (const int node : verdict.path) {
      const int64_t held = position + 1 + node;
      if (held != place) {
        slots.push_back(static_cast<int32_t>(sequence.slot));
        from.push_back(static_cast<int32_t>(held));
        to.push_back(static_cast<int32_t>(place));
      }
      ++place;
    }
    for (const int node : verdict.path)
      sequence.tokens.push_back(tree.tokens[static_cast<size_t>(node)]);
    sequence.tokens.push_back(verdict.next);
    sequence.cached = sequence.position();
    outcomes.push_back({tree.size(), static_cast<int64_t>(verdict.path.size())});
  }
  model_.MoveRows(std::move(slots), std::move(from), std::move(to));
  ++stats_.passes;
  return outcomes;
}

}  // namespace tl
