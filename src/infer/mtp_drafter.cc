// SPDX-License-Identifier: Apache-2.0
#include "infer/mtp_drafter.h"

#include <algorithm>

#include "infer/draft_token.h"

namespace tl {

MtpDrafter::MtpDrafter(const DrafterOptions& options, LanguageModel& model)
    : options_(options),
      model_(model),
      modules_(static_cast<int>(std::min<int64_t>(options.drafts, model.draft_heads()))),
      seen_(static_cast<size_t>(model.limits().sequences)) {}

void MtpDrafter::Rewind(const Sequence& sequence, Seen* seen) const {
  if (seen->sequence != sequence.id || seen->start != sequence.start)
    *seen = {sequence.id, sequence.start, {}, std::vector<int64_t>(modules_)};
  const auto text =
      absl::MakeConstSpan(sequence.tokens).subspan(static_cast<size_t>(sequence.start));
  const auto first_other =
      std::mismatch(text.begin(), text.end(), seen->tokens.begin(), seen->tokens.end()).first;
  const int64_t same = first_other - text.begin();
  for (int64_t k = 1; k <= modules_; ++k) {
    int64_t& rows = seen->rows[static_cast<size_t>(k - 1)];
    rows = std::max<int64_t>(0, std::min(rows, same - k));
  }
  seen->tokens.assign(text.begin(), text.end());
}

void MtpDrafter::RunModule(int k, absl::Span<const DraftRequest* const> drafting,
                           RowLogits* logits) {
  DecodeBatch batch, last;
  for (const DraftRequest* request : drafting) {
    const Sequence& sequence = *request->sequence;
    Seen& seen = SeenOf(sequence);
    int64_t& rows = seen.rows[static_cast<size_t>(k - 1)];
    const int64_t end = sequence.position();
    for (int64_t t = std::min(rows, end - 1); t < end; ++t) {
      // Module 1 was trained to see no token from the first place.
      const int32_t token = t == 0 && k == 1 ? -1 : seen.tokens[static_cast<size_t>(t + k)];
      (t == end - 1 ? last : batch).AddNext(token, t, sequence.slot);
    }
    rows = end;
  }
  while (batch.rows() + last.rows() > model_.max_rows())
    model_.RunHead(k, batch.TakeFirst(std::min(batch.rows(), model_.max_rows())), 0, 0, 0, nullptr);
  const int64_t first = batch.rows();
  batch.Append(last);
  model_.RunHead(k, batch, first, batch.rows(), LikeliestFor(options_.sampling, model_.vocab()),
                 logits);
}

std::vector<DraftTree> MtpDrafter::Propose(absl::Span<const DraftRequest> requests) {
  std::vector<DraftTree> trees(requests.size());
  for (const DraftRequest& request : requests)
    Rewind(*request.sequence, &SeenOf(*request.sequence));
  RowLogits logits;
  for (int k = 1; k <= modules_; ++k) {
    std::vector<const DraftRequest*> drafting;
    for (const DraftRequest& request : requests) {
      // Before the first pass over a sequence of one token there is no state to start from.
      if (request.depth >= k && request.sequence->position() > 0) drafting.push_back(&request);
    }
    if (drafting.empty()) break;
    RunModule(k, drafting, &logits);
    for (size_t row = 0; row < drafting.size(); ++row) {
      const DraftRequest& request = *drafting[row];
      DraftTree& tree = trees[static_cast<size_t>(&request - requests.data())];
      AddDraft(options_, *request.sequence, k - 1, logits[static_cast<int64_t>(row)], &tree);
      SeenOf(*request.sequence).tokens.push_back(tree.tokens.back());
    }
  }
  return trees;
}

}  // namespace tl
