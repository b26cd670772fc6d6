// SPDX-License-Identifier: Apache-2.0
// Denoisers on the grids of grid_run.h, and the pictures they learn.
#pragma once

#include "grid_run.h"

namespace tl::test {

// Pictures of 4 x 6 in patches of 2: micro-batches of 2 have 12 rows, and over 4 tensor ranks each
// has half a picture's.
inline Config DenoiseConfig(const std::string& process, int64_t channels) {
  Config c = SmallConfig();
  c.model.vocab = 0;
  c.model.shape = {channels, 4, 6};
  c.model.patch = 2;
  c.train.sequence_length = c.model.patches();
  c.train.loss_chunk = 0;
  c.train.z_loss = 0.0;
  c.objective.name = "denoise";
  c.objective.Set("process", process);
  return c;
}

// EDM with classes, some of them hidden, and the average of weights.
inline Config ClassesConfig() {
  Config c = DenoiseConfig("edm", /*channels=*/1);
  c.model.classes = 3;
  c.objective.Set("label_drop", 0.25);
  c.optimizer.ema = 0.6;
  return c;
}

// Flow matching with what else blocks may have.
inline Config FlowConfig() {
  Config c = DenoiseConfig("flow", /*channels=*/3);
  c.model.qk_norm = true;
  c.model.qkv_bias = true;
  c.train.hidden_dropout = 0.2;
  return c;
}

// Stripes as wide as the class says, brighter from sample to sample, with a little noise.
class Stripes : public DataSource {
 public:
  explicit Stripes(const ModelConfig& model) : model_(model) {}

  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    const int64_t size = length * model_.patch_values();
    out->count = count;
    out->sequence_length = length;
    out->lookahead = lookahead;
    out->values.clear();
    out->labels.clear();
    out->samples.clear();
    for (int64_t n = first; n < first + count; ++n) {
      const auto label = static_cast<int32_t>(n % 3);
      for (int64_t i = 0; i < size; ++i) {
        const float stripe = i / (label + 1) % 2 == 0 ? 0.75f : -0.75f;
        const float noise = PhiloxNormal(31, static_cast<uint64_t>(n * size + i));
        out->values.push_back(stripe * (1.0f - static_cast<float>(n % 7) / 16.0f) + 0.1f * noise);
      }
      out->labels.push_back(model_.classes > 0 ? label : -1);
      out->samples.push_back(n);
    }
    return absl::OkStatus();
  }
  // What an evaluation reads.
  int64_t SampleCount(int64_t) const override { return 16; }
  int64_t TokenCount() const override { return 0; }
  double BytesPerToken() const override { return 0.0; }

 private:
  ModelConfig model_;
};

}  // namespace tl::test
