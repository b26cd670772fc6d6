// SPDX-License-Identifier: Apache-2.0
// Decoding, pass by pass: every live sequence gets at least one token per pass of the model, and as
// many more as its drafter guessed right.
#pragma once

#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "infer/drafter.h"
#include "infer/language_model.h"
#include "infer/sequence.h"
#include "infer/verify.h"

namespace tl {

struct DecodeOptions {
  SamplingOptions sampling = {};
  uint64_t seed = 1;
  int64_t max_tokens = 0;  // per sequence, beyond its prompt
  Verification verification = Verification::kMatch;
  TypicalOptions typical = {};
};

// What became of drafts, over all sequences and passes. Drafts behind the end of a text were not
// put to the test and count nowhere.
struct DraftCounts {
  // By depth, from 0: sequence-passes whose drafts reached so deep; those whose accepted path came
  // to a node with drafts below it at this depth; those in which one of these was taken.
  std::vector<int64_t> offered, tried, taken;

  // P(taken | what is above it was), P(taken at all).
  double Conditional(size_t depth) const;
  double Unconditional(size_t depth) const;
};

struct DecodeStats {
  int64_t passes = 0;           // of the model over all live sequences at once
  int64_t sequence_passes = 0;  // sum of the sequences in them
  int64_t tokens = 0;           // that the texts kept: up to their ends, an end token included
  int64_t drafted = 0;          // for places that the texts have
  double prefill_seconds = 0.0, draft_seconds = 0.0, verify_seconds = 0.0;
  DraftCounts drafts;

  double seconds() const { return draft_seconds + verify_seconds; }
  // Mean tokens per sequence and pass: 1 + the mean number of drafts taken, where texts do not end
  // with a draft.
  double tau() const;
  double tokens_per_second() const;
};

class Decoder {
 public:
  // drafter may be null. All outlive the decoder.
  Decoder(LanguageModel& model, Drafter* drafter, const DecodeOptions& options)
      : model_(model), drafter_(drafter), options_(options) {}

  // What one pass did for one sequence, as far as its text goes.
  struct Outcome {
    int64_t drafted = 0;
    // Of them; one more token than this was added, but where the text ends with a draft.
    int64_t accepted = 0;
  };
  // Drops what was added to live[i] behind the end of its text; true where it has come to that. May
  // be null.
  using CutAtEnd = std::function<bool(size_t i)>;
  // Adds 1 to 1 + drafts tokens to each sequence; each has at least one token, fewer than
  // max_tokens generated, and a slot of its own. Counts what cut leaves. Collective.
  std::vector<Outcome> Pass(absl::Span<Sequence* const> live, const CutAtEnd& cut = nullptr);

  const DecodeStats& stats() const { return stats_; }

 private:
  // Rows of the cache, by slot.
  struct Moves {
    std::vector<int32_t> slots, from, to;
  };
  // Keys and values of all but the last tokens.
  void Prefill(absl::Span<Sequence* const> live);
  std::vector<DraftTree> Draft(absl::Span<Sequence* const> live);
  // Runs the model over last tokens and drafts, and adds the verdicts' tokens.
  std::vector<Verdict> RunAndVerify(absl::Span<Sequence* const> live,
                                    const std::vector<DraftTree>& trees);
  // Adds the verdict's tokens; accepted rows of the cache are to close up behind the last token's.
  static void Take(const DraftTree& tree, const Verdict& verdict, Sequence& sequence, Moves* moves);
  // kept: of the verdict's tokens, how many the text has. ended: behind them there is no more text.
  Outcome Record(const DraftTree& tree, const Verdict& verdict, int64_t kept, bool ended);

  LanguageModel& model_;
  Drafter* drafter_;
  DecodeOptions options_;
  DecodeStats stats_;
};

}  // namespace tl
