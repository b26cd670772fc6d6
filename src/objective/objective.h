// What a trunk is trained for: heads on the residual stream, their losses and gradients.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "nn/block.h"
#include "nn/tensor_parallel.h"

namespace tl {

struct ObjectiveConfig {
  std::string name = "next_token";
  bool operator==(const ObjectiveConfig&) const = default;
};

// What an objective needs to know of the model it stands on.
struct ObjectiveContext {
  Geometry geometry;
  int64_t vocab = 0;
  int64_t hidden = 0;
  ParamSpec unembedding;  // tied: the embedding's own
  double norm_eps = 1e-5;
  double z_loss = 0.0;
  int64_t loss_chunk = 0;
};

class Objective {
 public:
  virtual ~Objective() = default;

  // How many tokens beyond its input a sample must carry.
  virtual int lookahead() const = 0;
  // Called after the trunk's.
  virtual void Declare(Plan& plan) = 0;
  // Forward pass, loss and backward pass of the heads on the trunk's output. Writes
  // Pass::token_losses. d_stream: receives the gradient at trunk_out's sum; null: evaluate only.
  virtual void Run(Step& step, Residual trunk_out, Tensor d_stream) = 0;
  // The main head's logits after one row of the trunk's output: fp32 [1, local vocabulary].
  virtual void Logits(Step& step, Residual trunk_out, int64_t row, Tensor logits) = 0;
  virtual int64_t local_vocab() const = 0;
};

// An unknown name is an error that lists the known ones.
absl::StatusOr<std::unique_ptr<Objective>> MakeObjective(const ObjectiveConfig& config,
                                                         const ObjectiveContext& context);

// The names of the table, "a, b, c".
std::string ObjectiveNames();

}  // namespace tl
