// SPDX-License-Identifier: Apache-2.0
#include "infer/continuous_batching.h"

#include <algorithm>

namespace tl {
namespace {

// Takes the tokens added by a pass into the text, up to where it ends; drops those behind. True
// where it has ended.
bool TakeTokens(Continuation& c, int64_t from, const ContinueOptions& options) {
  std::vector<int32_t>& tokens = c.sequence.tokens;
  for (int64_t i = from; i < c.sequence.size(); ++i) {
    const int32_t token = tokens[static_cast<size_t>(i)];
    if (std::find(options.ends.begin(), options.ends.end(), token) != options.ends.end()) {
      c.stop = FinishReason::kEnd;
    } else if (c.text.Append(options.decode(token))) {
      c.stop = FinishReason::kStopString;
    } else if (i + 1 - c.sequence.prompt >= options.max_tokens) {
      c.stop = FinishReason::kLength;
    }
    if (c.stop == FinishReason::kNone) continue;
    tokens.resize(static_cast<size_t>(i + 1));
    c.text.Finish();
  }
  return c.stop != FinishReason::kNone;
}

}  // namespace

const char* Name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kEnd:
      return "end";
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kNone:
      break;
  }
  return "none";
}

std::vector<Continuation> ContinueAll(const std::vector<std::vector<int32_t>>& prompts,
                                      int64_t slots, const ContinueOptions& options,
                                      Decoder& decoder) {
  std::vector<Continuation> all;
  for (const std::vector<int32_t>& prompt : prompts) {
    Continuation c{.sequence = {}, .text = TextOutput(options.stops)};
    c.sequence.id = static_cast<int64_t>(all.size());
    c.sequence.tokens = prompt;
    c.sequence.prompt = static_cast<int64_t>(prompt.size());
    all.push_back(std::move(c));
  }
  std::vector<int64_t> free_slots;
  for (int64_t slot = slots - 1; slot >= 0; --slot) free_slots.push_back(slot);
  size_t next = 0;
  std::vector<Continuation*> live;
  while (true) {
    while (next < all.size() && !free_slots.empty()) {
      live.push_back(&all[next++]);
      live.back()->sequence.slot = free_slots.back();
      free_slots.pop_back();
    }
    if (live.empty()) return all;
    std::vector<Sequence*> sequences;
    std::vector<int64_t> sizes;
    for (Continuation* c : live) {
      sequences.push_back(&c->sequence);
      sizes.push_back(c->sequence.size());
    }
    const std::vector<Decoder::Outcome> outcomes =
        decoder.Pass(sequences, [&](size_t i) { return TakeTokens(*live[i], sizes[i], options); });
    for (size_t i = 0; i < live.size(); ++i) {
      Continuation& c = *live[i];
      ++c.passes;
      c.drafted += outcomes[i].drafted;
      c.accepted += outcomes[i].accepted;
      const std::string text = c.text.Take();
      if (options.on_pass)
        options.on_pass(
            c, absl::MakeConstSpan(c.sequence.tokens).subspan(static_cast<size_t>(sizes[i])), text,
            outcomes[i]);
      if (c.stop != FinishReason::kNone) free_slots.push_back(c.sequence.slot);
    }
    live.erase(std::remove_if(live.begin(), live.end(),
                              [](const Continuation* c) { return c->stop != FinishReason::kNone; }),
               live.end());
  }
}

}  // namespace tl
