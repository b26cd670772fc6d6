// SPDX-License-Identifier: Apache-2.0
// A model made for decoding: its engine and the K/V cache of the sequences it works on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/load.h"
#include "engine/decode_passes.h"
#include "objective/descriptor.h"

namespace tl {

struct DecodeLimits {
  int64_t sequences = 1;  // at once
  int64_t context = 0;    // tokens that one sequence may have in the cache
  int64_t drafts = 0;     // drafted tokens per sequence and pass, at most kTreeKeys - 1
};

class LanguageModel {
 public:
  // options: model, objective and compute type; the rest is set here. Refuses what memory does not
  // hold. Collective.
  static absl::StatusOr<std::unique_ptr<LanguageModel>> Create(ModelOptions options,
                                                               const DecodeLimits& limits,
                                                               Mesh& mesh);
  // With weights of a run folder's newest save. Collective.
  static absl::StatusOr<std::unique_ptr<LanguageModel>> Load(const std::string& run_dir,
                                                             const Config& config,
                                                             const DecodeLimits& limits,
                                                             WhichWeights which, Mesh& mesh);

  Engine& engine() { return engine_; }
  const Model& model() const { return *model_; }
  const DecodeLimits& limits() const { return limits_; }
  int64_t layers() const {
    return TrunkLayers(model_->options().objective, model_->options().model.layers);
  }
  int64_t vocab() const { return model_->options().model.vocab; }
  int draft_heads() const { return model().objective().draft_heads(); }
  // Rows of one pass.
  int64_t max_rows() const { return model_->rows(); }

  // logits: of the rows that part asks for, valid until the next Run or RunHead; null where it asks
  // for none.
  void Run(const DecodeBatch& batch, const DecodePart& part, RowLogits* logits) {
    passes_.Decode(batch, part, logits);
  }
  // Draft head `head` on rows that Run has run: see Objective::DraftLogits. logits: of the rows
  // [begin, end), as Run gives them, of their `likeliest` tokens or, with 0, of all; null where
  // there are none.
  void RunHead(int head, const DecodeBatch& batch, int64_t begin, int64_t end, int64_t likeliest,
               RowLogits* logits) {
    passes_.Draft(head, batch, begin, end, likeliest, logits);
  }
  // The first of tokens has position `position` in its sequence; all get their places in the cache.
  void Prefill(absl::Span<const int32_t> tokens, int64_t position, int64_t sequence);
  // In sequence sequences[i], the row at from[i] goes to to[i].
  void MoveRows(absl::Span<const int32_t> sequences, absl::Span<const int32_t> from,
                absl::Span<const int32_t> to);

 private:
  LanguageModel(std::unique_ptr<Model> model, const DecodeLimits& limits, Mesh& mesh);

  std::unique_ptr<Model> model_;
  DecodeLimits limits_;
  Engine engine_;
  KvCache cache_;
  DecodePasses passes_;
};

}  // namespace tl
