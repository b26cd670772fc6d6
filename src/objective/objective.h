// What a trunk is trained for: heads on the residual stream, their losses and gradients.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/check.h"
#include "nn/geometry.h"
#include "nn/stem.h"
#include "nn/taps.h"
#include "objective/config.h"

namespace tl {

// What an objective needs to know of the model it stands on.
struct ObjectiveContext {
  Geometry geometry;
  int64_t vocab = 0;
  int64_t hidden = 0;
  ParamSpec embedding = {};
  DropoutConfig dropout = {};
  ParamSpec unembedding;  // tied: the embedding's own
  double norm_eps = 1e-5;
  double z_loss = 0.0;
  int64_t loss_chunk = 0;
  std::function<BlockConfig(const std::string& name)> block = {};  // one like the trunk's
};

class Objective {
 public:
  explicit Objective(const ObjectiveContext& context) : context_(context) {}
  virtual ~Objective() = default;

  // What makes the trunk's input.
  virtual std::unique_ptr<Stem> MakeStem() const {
    return std::make_unique<TokenStem>(context_.embedding, context_.dropout, context_.geometry);
  }
  // What it reads of the trunk beside its end; each block at most once.
  virtual std::vector<TapSpec> taps() const { return {}; }
  // The main head first; head i predicts the token i + 1 after each input.
  virtual std::vector<std::string> heads() const = 0;
  // The weight of a head's loss in step 0, 1, ... of a training of `steps`. 0: it is not trained.
  virtual double Weight(int head, int64_t step, int64_t steps) const = 0;
  // Whether a head learns the main head's prediction of the same token, instead of the text's
  // token. Its targets to train on are then those alone that the main head predicts within the
  // sequence.
  virtual bool Distills(int) const { return false; }
  // Called after the trunk's.
  virtual void Declare(Plan& plan) = 0;
  // Forward pass and losses of the heads on the trunk's output, in a pass that trains also their
  // backward pass; adds to Step::head_sums. Heads whose Training::head_weights is 0 are left out,
  // the main head aside, which the others are measured by.
  virtual void Run(Step& step, const Taps& taps) = 0;
  // The main head's logits after rows of the trunk's output, from `row` on: fp32 [rows, local
  // vocabulary].
  virtual void Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) = 0;
  virtual int64_t local_vocab() const = 0;

  // Decoding: heads beside the main one that can draft, 1 to draft_heads().
  virtual int draft_heads() const { return 0; }
  // The logits of draft head `head`, as Logits has them, after rows whose places Logits has run.
  // The rows' states are those that Logits left in the cache, or, where heads build on each other,
  // the head before; Inputs::tokens: the token that the head looks at, `head` places after the
  // row's own, negative: none.
  virtual void DraftLogits(Step&, int head, const Taps&, int64_t /*row*/, Tensor /*logits*/) {
    TL_CHECK(false) << "there is no draft head " << head;
  }

  // How many tokens beyond its input a sample must carry.
  int lookahead() const { return static_cast<int>(heads().size()); }

 protected:
  const ObjectiveContext context_;
};

// An unknown name is an error that lists the known ones.
absl::StatusOr<std::unique_ptr<Objective>> MakeObjective(const ObjectiveConfig& config,
                                                         const ObjectiveContext& context);
using ObjectiveMaker = std::function<absl::StatusOr<std::unique_ptr<Objective>>(
    const ObjectiveConfig&, const ObjectiveContext&)>;

// The names of the table, "a, b, c".
std::string ObjectiveNames();

// "next_token", "token_2", ...: what each of n heads predicts.
std::vector<std::string> OffsetNames(int n);

}  // namespace tl
