// SPDX-License-Identifier: Apache-2.0
// What a trunk is trained for: heads on the residual stream, their losses and gradients.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/check.h"
#include "config/objective.h"
#include "kernels/head_metrics.h"
#include "nn/batch.h"
#include "nn/geometry.h"
#include "nn/stem.h"
#include "nn/taps.h"
#include "objective/report.h"

namespace tl {

// What an objective needs to know of the model it stands on.
struct ObjectiveContext {
  Geometry geometry;
  int64_t vocab = 0;
  // See ModelConfig; empty where it learns from tokens.
  std::vector<int64_t> shape = {};
  int64_t patch = 1;
  int64_t classes = 0;
  int64_t hidden = 0;
  ParamSpec embedding = {};
  DropoutConfig dropout = {};
  ParamSpec unembedding;  // tied: the embedding's own
  double norm_eps = 1e-5;
  double z_loss = 0.0;
  int64_t loss_chunk = 0;
  std::function<BlockConfig(const std::string& name)> block = {};  // one like the trunk's
};

// What a batch was read for. kBound: an evaluation that makes Objective::bounds().
enum class BatchUse : uint8_t { kTraining, kEvaluation, kBound };
inline constexpr int kBatchUses = 3;

class Objective {
 public:
  explicit Objective(const ObjectiveContext& context) : context_(context) {}
  virtual ~Objective() = default;

  // What makes the trunk's input.
  virtual std::unique_ptr<Stem> MakeStem() const;
  // What it reads of the trunk beside its end; each block at most once.
  virtual std::vector<TapSpec> taps() const { return {}; }
  // Whether the heads alone are trained, on a trunk that stays as it is.
  virtual bool freezes_trunk() const { return false; }
  // The main head first; where they predict tokens, head i does the token i + 1 after each input.
  virtual std::vector<std::string> heads() const = 0;
  int head_count() const { return static_cast<int>(heads().size()); }
  // How many tokens beyond its input a sample must carry.
  virtual int lookahead() const { return head_count(); }
  // The values of a row, where it learns from values; 0: from tokens.
  virtual int64_t row_values() const { return 0; }
  // The weight of a head's loss in step 0, 1, ... of a training of `steps`. 0: it is not trained.
  virtual double Weight(int head, int64_t step, int64_t steps) const = 0;
  // Whether a head learns the main head's prediction of the same token, instead of the text's
  // token. Its targets to train on are then those alone that the main head predicts within the
  // sequence.
  virtual bool Distills(int) const { return false; }
  // Makes a batch that was read into one that passes take, before anything in it is counted: masks
  // the targets that a head which distills has no teacher for.
  virtual void Prepare(BatchUse use, HostBatch* batch) const;
  // Counts what the head's loss is the mean over. A global batch's count is the sum over its parts.
  virtual int64_t Count(const HostBatch& batch, int head) const {
    return batch.TargetCount(head + 1);
  }
  // Reads a head's sums, which Run has added to Step::head_sums.
  virtual HeadResult Result(int head, const std::array<double, kHeadSums>& sums) const;

  // Whether the mean loss of batches that were prepared for kBound, and of their HostBatch::constant,
  // is a bound from above on -ln p of a value, in nats.
  virtual bool bounds() const { return false; }

  // Called after the trunk's.
  virtual void Declare(Plan& plan) = 0;
  // Forward pass and losses of the heads on the trunk's output, in a pass that trains also their
  // backward pass; adds to Step::head_sums. Heads whose Training::head_weights is 0 are left out,
  // the main head aside, which the others are measured by.
  virtual void Run(Step& step, const Taps& taps) = 0;

  // Of objectives of values: what the network gives for Inputs::values, fp32 [local rows, P].
  virtual Tensor Predict(Step&, const Taps&) {
    TL_CHECK(false) << "this objective predicts no values";
    return {};
  }

  // After it, from d, a gradient at what it returned, in the compute type, to those in the taps.
  virtual void PredictBackward(Step&, const Taps&, Tensor /*d*/) {
    TL_CHECK(false) << "this objective predicts no values";
  }

  // Decoding: of objectives that predict tokens, and of no others.
  //
  // The main head's logits after rows of the trunk's output, from `row` on: fp32 [rows, local
  // vocabulary].
  virtual void Logits(Step&, const Taps&, int64_t /*row*/, Tensor /*logits*/) {
    TL_CHECK(false) << "this objective predicts no tokens";
  }
  virtual int64_t local_vocab() const { return 0; }
  // Heads beside the main one that can draft, 1 to draft_heads().
  virtual int draft_heads() const { return 0; }
  // The logits of draft head `head`, as Logits has them, after rows whose places Logits has run.
  // The rows' states are those that Logits left in the cache, or, where heads build on each other,
  // the head before; Inputs::tokens: the token that the head looks at, `head` places after the
  // row's own, negative: none.
  virtual void DraftLogits(Step&, int head, const Taps&, int64_t /*row*/, Tensor /*logits*/) {
    TL_CHECK(false) << "there is no draft head " << head;
  }

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
