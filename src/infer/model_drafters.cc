// SPDX-License-Identifier: Apache-2.0
// Drafters that run a model: a smaller one, or the first layers of the model itself.
#include <algorithm>

#include "infer/draft_token.h"
#include "infer/drafter.h"

namespace tl {

ModelDrafter::ModelDrafter(const DrafterOptions& options, LanguageModel& draft_model)
    : options_(options),
      model_(draft_model),
      held_(static_cast<size_t>(draft_model.limits().sequences)) {}

std::vector<DraftTree> ModelDrafter::Propose(absl::Span<const DraftRequest> requests) {
  std::vector<DraftTree> trees(requests.size());
  std::vector<int64_t> depths;
  for (const DraftRequest& request : requests) {
    const Sequence& sequence = *request.sequence;
    // The draft model's context is its own, and its drafts need a place in it too.
    const int64_t context = model_.limits().context;
    const int64_t depth = std::min({request.depth, options_.drafts, context - context / 2});
    depths.push_back(depth);
    if (depth == 0) continue;
    Held& held = held_[static_cast<size_t>(sequence.slot)];
    if (held.sequence != sequence.id) held = {sequence.id, 0, {}};
    if (sequence.size() - 1 - held.start + depth > context) {
      held.start = std::max<int64_t>(0, sequence.size() - 1 - context / 2);
      held.tokens.clear();
    }
    const auto past = absl::MakeConstSpan(sequence.tokens)
                          .subspan(static_cast<size_t>(held.start))
                          .first(static_cast<size_t>(sequence.size() - 1 - held.start));
    size_t same = 0;
    while (same < held.tokens.size() && same < past.size() && held.tokens[same] == past[same])
      ++same;
    model_.Prefill(past.subspan(same), static_cast<int64_t>(same), sequence.slot);
    held.tokens.assign(past.begin(), past.end());
  }
  const int64_t deepest = depths.empty() ? 0 : *std::max_element(depths.begin(), depths.end());
  const int64_t likeliest = LikeliestFor(options_.sampling, model_.vocab());
  for (int64_t depth = 0; depth < deepest; ++depth) {
    DecodeBatch batch;
    std::vector<size_t> who;
    for (size_t i = 0; i < requests.size(); ++i) {
      if (depth >= depths[i]) continue;
      const Sequence& sequence = *requests[i].sequence;
      Held& held = held_[static_cast<size_t>(sequence.slot)];
      const int32_t token = depth == 0 ? sequence.tokens.back() : trees[i].tokens.back();
      batch.AddNext(token, static_cast<int64_t>(held.tokens.size()), sequence.slot);
      held.tokens.push_back(token);
      who.push_back(i);
    }
    RowLogits logits;
    model_.Run(batch, {.logits_end = batch.rows(), .likeliest = likeliest}, &logits);
    for (size_t row = 0; row < who.size(); ++row)
      AddDraft(options_, *requests[who[row]].sequence, depth, logits[static_cast<int64_t>(row)],
               &trees[who[row]]);
  }
  return trees;
}

EarlyExitDrafter::EarlyExitDrafter(const DrafterOptions& options, LanguageModel& model)
    : options_(options),
      model_(model),
      layers_(options.exit_layer > 0 ? options.exit_layer : model.layers() / 2) {
  const ModelOptions& options_of_model = model.model().options();
  const DType compute = options_of_model.compute;
  const Device device = model.engine().device();
  const Shape shape{model.max_rows(), options_of_model.model.hidden};
  const Tensor sized = Tensor::Contiguous(nullptr, shape, compute, device);
  memory_ = Buffer::Allocate(device, static_cast<size_t>(2 * sized.bytes()));
  kept_.h = Tensor::Contiguous(memory_.data(), shape, compute, device);
  kept_.delta = Tensor::Contiguous(memory_.data() + sized.bytes(), shape, compute, device);
}

std::vector<DraftTree> EarlyExitDrafter::Propose(absl::Span<const DraftRequest> requests) {
  std::vector<DraftTree> trees(requests.size());
  std::vector<int64_t> depths, first_row;
  rows_ = 0;
  for (const DraftRequest& request : requests) {
    depths.push_back(std::min(request.depth, options_.drafts));
    first_row.push_back(rows_);
    rows_ += 1 + depths.back();
  }
  const int64_t deepest = depths.empty() ? 0 : *std::max_element(depths.begin(), depths.end());
  const int64_t likeliest = LikeliestFor(options_.sampling, model_.vocab());
  // The last draft of a sequence is run through the layers too, for the model to go on from.
  for (int64_t depth = 0; depth <= deepest; ++depth) {
    DecodeBatch batch;
    DecodePart part{.last_layer = layers_, .out = kept_, .likeliest = likeliest};
    std::vector<size_t> who;
    for (const bool drafting : {true, false}) {  // those whose logits are wanted come first
      for (size_t i = 0; i < requests.size(); ++i) {
        if (drafting ? depth >= depths[i] : depth != depths[i]) continue;
        const Sequence& sequence = *requests[i].sequence;
        const int32_t token = depth == 0 ? sequence.tokens.back() : trees[i].tokens.back();
        batch.AddNext(token, sequence.position() + depth, sequence.slot);
        part.out_rows.push_back(static_cast<int32_t>(first_row[i] + depth));
        if (drafting) who.push_back(i);
      }
    }
    part.logits_end = static_cast<int64_t>(who.size());
    RowLogits logits;
    model_.Run(batch, part, &logits);
    for (size_t row = 0; row < who.size(); ++row)
      AddDraft(options_, *requests[who[row]].sequence, depth, logits[static_cast<int64_t>(row)],
               &trees[who[row]]);
  }
  return trees;
}

DecodePart EarlyExitDrafter::Resume() {
  return {.first_layer = layers_,
          .in = {.h = kept_.h.Slice(0, 0, rows_), .delta = kept_.delta.Slice(0, 0, rows_)}};
}

}  // namespace tl
