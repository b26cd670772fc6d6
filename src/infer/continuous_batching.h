// SPDX-License-Identifier: Apache-2.0
// Many prompts through one decoder: as many at once as it has slots, the next one taking the place
// of one that is done.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "infer/decoder.h"
#include "infer/text_output.h"

namespace tl {

enum class FinishReason : uint8_t { kNone, kLength, kEnd /* of the document */, kStopString };
const char* Name(FinishReason reason);  // "length", "end", "stop"

// One prompt and its continuation.
struct Continuation {
  Sequence sequence;
  TextOutput text;
  FinishReason stop = FinishReason::kNone;
  int64_t passes = 0, drafted = 0, accepted = 0;

  absl::Span<const int32_t> tokens() const {
    return absl::MakeConstSpan(sequence.tokens).subspan(static_cast<size_t>(sequence.prompt));
  }
};

struct ContinueOptions {
  int64_t max_tokens = 0;
  std::vector<int32_t> ends = {};  // tokens that end a text
  std::vector<std::string> stops = {};
  std::function<std::string(int32_t)> decode = {};  // the text of a token
  // Called after every pass for each sequence in it, with the tokens it got and what of its text
  // has become certain; stop is set where the sequence is done. May be null.
  std::function<void(const Continuation&, absl::Span<const int32_t> added, const std::string& text,
                     const Decoder::Outcome&)>
      on_pass = {};
};

// In the order of the prompts, which are token ids and not empty. Collective.
std::vector<Continuation> ContinueAll(const std::vector<std::vector<int32_t>>& prompts,
                                      int64_t slots, const ContinueOptions& options,
                                      Decoder& decoder);

}  // namespace tl
