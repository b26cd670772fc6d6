// SPDX-License-Identifier: Apache-2.0
// What guesses the next tokens of sequences, for the model to check many of them in one pass.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "infer/language_model.h"
#include "infer/sequence.h"
#include "infer/tree_shape.h"
#include "infer/verify.h"

namespace tl {

struct DraftRequest {
  const Sequence* sequence = nullptr;
  int64_t depth = 0;  // how far beyond the last token, at most
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  // One tree for every request. Called with all live sequences; the same on every rank. Collective.
  virtual std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) = 0;
  // What of the pass over the trees just proposed has been run already. Its rows are, sequence by
  // sequence, the last token and then the tree's.
  virtual DecodePart Resume() { return {}; }
};

struct DrafterOptions {
  std::string kind = "none";
  int64_t drafts = 4;            // drafted tokens per sequence and pass, at most
  int64_t branches = 1;          // lookup: continuations drafted side by side
  int64_t exit_layer = 0;        // early-exit: layers run for a draft; 0: half of them
  std::string draft_model = {};  // draft-model: a run folder
  TreeShape tree = {};           // heads: what they draft; empty: a chain
  SamplingOptions sampling = {};
  uint64_t seed = 1;
  Verification verification = Verification::kMatch;
};

// Whether `kind` is a drafter there is. An error names those there are.
absl::Status CheckDrafter(const std::string& kind);
// The names of the table; as "a, b, c".
std::vector<std::string> DrafterKinds();
std::string DrafterNames();

// Null for "none". model: the one whose tokens are guessed; it and draft_model (which only
// draft-model has) outlive the drafter.
absl::StatusOr<std::unique_ptr<Drafter>> MakeDrafter(const DrafterOptions& options,
                                                     LanguageModel& model,
                                                     LanguageModel* draft_model);

// Prompt lookup (Saxena 2023): finds where the last tokens occurred before and proposes what
// followed. Longer matches come first, then later ones; with several branches, a tree of them.
class LookupDrafter : public Drafter {
 public:
  explicit LookupDrafter(const DrafterOptions& options) : options_(options) {}
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override;

 private:
  DrafterOptions options_;
};

// A smaller model with the same vocabulary writes the drafts, token by token, as a chain.
class ModelDrafter : public Drafter {
 public:
  ModelDrafter(const DrafterOptions& options, LanguageModel& draft_model);
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override;

 private:
  DrafterOptions options_;
  LanguageModel& model_;
  // What the draft model's cache holds, by slot: tokens from a start on. Drafts that were refused
  // differ from the sequence, and are overwritten from there.
  struct Held {
    int64_t sequence = -1;
    int64_t start = 0;
    std::vector<int32_t> tokens;
  };
  std::vector<Held> held_;
};

// The model's own first layers, its final norm and head write the drafts (as in LayerSkip, Elhoushi
// et al. 2024). What those layers computed and cached is not computed again: the model's pass goes
// on from the layer after them.
class EarlyExitDrafter : public Drafter {
 public:
  EarlyExitDrafter(const DrafterOptions& options, LanguageModel& model);
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override;
  DecodePart Resume() override;

 private:
  DrafterOptions options_;
  LanguageModel& model_;
  int64_t layers_;
  Buffer memory_;
  Residual kept_;  // of every row of the pass, after those layers
  int64_t rows_ = 0;
};

}  // namespace tl
