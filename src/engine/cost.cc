#include "engine/cost.h"

namespace tl {
namespace {

// A model's own formulas, taken apart.
struct Parts {
  explicit Parts(const Config& c) {
    ModelConfig none = c.model, one = c.model;
    none.layers = 0;
    one.layers = 1;
    const int64_t length = c.train.sequence_length;
    parameters = ParameterCount(none);
    block_parameters = ParameterCount(one) - parameters;
    readout = TrainFlopsPerToken(none, length);
    block = TrainFlopsPerToken(one, length) - readout;
    square = 3.0 * 2.0 * static_cast<double>(c.model.hidden) * static_cast<double>(c.model.hidden);
  }
  int64_t parameters;  // outside of the blocks
  int64_t block_parameters;
  double block, readout;  // FLOPs, forward and backward
  double square;          // of a [hidden, hidden] product
};

}  // namespace

int64_t ParameterCount(const Config& c) {
  const Parts p(c);
  const ObjectiveConfig& o = c.objective;
  const int64_t h = c.model.hidden;
  const int64_t trunk = p.parameters + TrunkLayers(o, c.model.layers) * p.block_parameters;
  if (o.name == "independent_heads") return trunk + o.heads * p.block_parameters;
  if (o.name == "sequential_mtp") {
    const int64_t modules = o.share_weights ? 1 : o.depth;
    return trunk + modules * (p.block_parameters + 2 * h * h + 3 * h);
  }
  if (o.name == "medusa") {
    const int64_t unembedding = o.own_unembedding ? c.model.vocab * h : 0;
    return trunk + o.heads * (o.residual_layers * (h * h + h) + unembedding);
  }
  return trunk;
}

double TrainFlopsPerToken(const Config& c) {
  const Parts p(c);
  const ObjectiveConfig& o = c.objective;
  const auto layers = static_cast<double>(TrunkLayers(o, c.model.layers));
  const auto heads = static_cast<double>(o.heads), depth = static_cast<double>(o.depth);
  const double trunk = layers * p.block;
  if (o.name == "independent_heads") return trunk + heads * (p.block + p.readout);
  // Forward alone is a third; a frozen unembedding still passes its input's gradient on.
  const double main = (trunk + p.readout) * (o.freeze_trunk ? 1.0 / 3.0 : 1.0);
  if (o.name == "sequential_mtp") {
    const double readout = p.readout * (o.freeze_trunk || o.detach_shared ? 2.0 / 3.0 : 1.0);
    return main + depth * (p.block + readout + 2.0 * p.square);
  }
  if (o.name == "medusa") {
    // A teacher's logits are made once more for each head.
    const bool frozen_unembedding = o.freeze_trunk && !o.own_unembedding;
    const double readout = (frozen_unembedding ? 2.0 / 3.0 : 1.0) + (o.distill ? 1.0 / 3.0 : 0.0);
    return main + heads * (static_cast<double>(o.residual_layers) * p.square + p.readout * readout);
  }
  return trunk + p.readout;
}

}  // namespace tl
