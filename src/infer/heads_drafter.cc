#include "infer/heads_drafter.h"

#include <algorithm>

#include "base/check.h"
#include "infer/draft_token.h"

namespace tl {

int HeadsThatDraft(const LanguageModel& model) {
  const std::string& objective = model.engine().options().objective.name;
  return objective == "independent_heads" || objective == "medusa" ? model.draft_heads() : 0;
}

HeadsDrafter::HeadsDrafter(const DrafterOptions& options, LanguageModel& model)
    : options_(options),
      model_(model),
      heads_(options.tree.empty()
                 ? static_cast<int>(std::min<int64_t>(options.drafts, model.draft_heads()))
                 : options.tree.depth()),
      read_(static_cast<size_t>(model.limits().sequences)) {}

void HeadsDrafter::ReadOn(absl::Span<const Sequence* const> sequences,
                          std::vector<std::vector<float>>* logits) {
  DecodeBatch rows, last;
  for (const Sequence* sequence : sequences) {
    Read& read = read_[static_cast<size_t>(sequence->slot)];
    if (read.sequence != sequence->id || read.start != sequence->start)
      read = {sequence->id, sequence->start, 0};
    TL_CHECK_LT(read.positions, sequence->position());
    for (; read.positions < sequence->position(); ++read.positions) {
      DecodeBatch& to = read.positions + 1 == sequence->position() ? last : rows;
      to.AddNext(sequence->tokens[static_cast<size_t>(read.start + read.positions)], read.positions,
                 sequence->slot);
    }
  }
  // Whatever the order of rows, each sees the positions before its own: those of earlier batches,
  // and in its own batch all keys are there first.
  while (rows.rows() + last.rows() > model_.max_rows()) {
    const DecodeBatch first = rows.TakeFirst(std::min(rows.rows(), model_.max_rows()));
    for (int head = 1; head <= heads_; ++head) model_.RunHead(head, first, 0, 0, nullptr);
  }
  const int64_t begin = rows.rows();
  rows.Append(last);
  logits->resize(static_cast<size_t>(heads_));
  for (int head = 1; head <= heads_; ++head)
    model_.RunHead(head, rows, begin, rows.rows(), &(*logits)[static_cast<size_t>(head - 1)]);
}

DraftTree HeadsDrafter::Chain(const DraftRequest& request,
                              absl::Span<const absl::Span<const float>> logits) const {
  DraftTree tree;
  const int64_t depth = std::min<int64_t>(request.depth, heads_);
  for (int64_t i = 0; i < depth; ++i)
    AddDraft(options_, *request.sequence, i, logits[static_cast<size_t>(i)], &tree);
  return tree;
}

DraftTree HeadsDrafter::Tree(const DraftRequest& request,
                             absl::Span<const absl::Span<const float>> logits) const {
  DraftTree tree;
  std::vector<std::vector<int32_t>> likeliest;
  for (int depth = 1; depth <= heads_; ++depth)
    likeliest.push_back(
        LikeliestTokens(logits[static_cast<size_t>(depth - 1)], options_.tree.RanksAt(depth)));
  std::vector<int> place, depths;  // in the draft's tree, -1: not drafted
  for (const TreeShape::Node& node : options_.tree.nodes()) {
    const auto parent = static_cast<size_t>(node.parent);
    depths.push_back(node.parent < 0 ? 1 : depths[parent] + 1);
    place.push_back(-1);
    const auto& tokens = likeliest[static_cast<size_t>(depths.back() - 1)];
    // Fewer tokens than ranks: a small vocabulary.
    if (depths.back() > request.depth || node.rank >= static_cast<int>(tokens.size()) ||
        (node.parent >= 0 && place[parent] < 0))
      continue;
    place.back() =
        tree.Add(tokens[static_cast<size_t>(node.rank)], node.parent < 0 ? -1 : place[parent]);
  }
  return tree;
}

std::vector<DraftTree> HeadsDrafter::Propose(absl::Span<const DraftRequest> requests) {
  std::vector<DraftTree> trees(requests.size());
  std::vector<size_t> who;
  std::vector<const Sequence*> sequences;
  for (size_t i = 0; i < requests.size(); ++i) {
    // Before the first token of all there is no state to draft from.
    if (requests[i].depth == 0 || requests[i].sequence->position() == 0) continue;
    who.push_back(i);
    sequences.push_back(requests[i].sequence);
  }
  if (who.empty()) return trees;
  std::vector<std::vector<float>> logits;
  ReadOn(sequences, &logits);
  const auto vocab = static_cast<size_t>(model_.vocab());
  for (size_t row = 0; row < who.size(); ++row) {
    std::vector<absl::Span<const float>> mine;
    for (const std::vector<float>& head : logits)
      mine.push_back(absl::MakeConstSpan(head).subspan(row * vocab, vocab));
    const DraftRequest& request = requests[who[row]];
    trees[who[row]] = options_.tree.empty() ? Chain(request, mine) : Tree(request, mine);
  }
  return trees;
}

}  // namespace tl
