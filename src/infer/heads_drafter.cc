// SPDX-License-Identifier: Apache-2.0
#include "infer/heads_drafter.h"

#include <algorithm>

#include "base/check.h"
#include "infer/draft_token.h"
#include "objective/descriptor.h"

namespace tl {

int HeadsThatDraft(const LanguageModel& model) {
  const ObjectiveDescriptor& objective = DescriptorOf(model.model().options().objective);
  return objective.drafter == std::string("heads") ? model.draft_heads() : 0;
}

HeadsDrafter::HeadsDrafter(const DrafterOptions& options, LanguageModel& model)
    : options_(options),
      model_(model),
      heads_(options.tree.empty()
                 ? static_cast<int>(std::min<int64_t>(options.drafts, model.draft_heads()))
                 : options.tree.depth()),
      read_(static_cast<size_t>(model.limits().sequences)) {}

void HeadsDrafter::ReadOn(absl::Span<const Sequence* const> sequences,
                          const std::function<void(int, const RowLogits&)>& draft) {
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
    for (int head = 1; head <= heads_; ++head) model_.RunHead(head, first, 0, 0, 0, nullptr);
  }
  const int64_t begin = rows.rows();
  rows.Append(last);
  for (int head = 1; head <= heads_; ++head) {
    const int64_t likeliest = options_.tree.empty()
                                  ? LikeliestFor(options_.sampling, model_.vocab())
                                  : LikeliestOf(options_.tree.RanksAt(head), model_.vocab());
    RowLogits logits;
    model_.RunHead(head, rows, begin, rows.rows(), likeliest, &logits);
    draft(head, logits);
  }
}

DraftTree HeadsDrafter::Tree(const DraftRequest& request,
                             const std::vector<std::vector<int32_t>>& likeliest) const {
  DraftTree tree;
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
  std::vector<std::vector<std::vector<int32_t>>> likeliest(who.size());  // by row, then head
  ReadOn(sequences, [&](int head, const RowLogits& logits) {
    for (size_t row = 0; row < who.size(); ++row) {
      const DraftRequest& request = requests[who[row]];
      const LogitsRow mine = logits[static_cast<int64_t>(row)];
      if (!options_.tree.empty()) {
        likeliest[row].push_back(LikeliestTokens(mine, options_.tree.RanksAt(head)));
      } else if (head <= request.depth) {
        AddDraft(options_, *request.sequence, head - 1, mine, &trees[who[row]]);
      }
    }
  });
  for (size_t row = 0; row < who.size() && !options_.tree.empty(); ++row)
    trees[who[row]] = Tree(requests[who[row]], likeliest[row]);
  return trees;
}

}  // namespace tl
