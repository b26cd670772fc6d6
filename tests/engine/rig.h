// SPDX-License-Identifier: Apache-2.0
// A model under training in one process, with weights set and gradients read by the names of the
// tensors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/validate.h"
#include "tests/kernels/test_device.h"
#include "tests/model/cases.h"
#include "tests/reference/model.h"
#include "train/stepper.h"

namespace tl {

// Endless random samples.
class RandomSource : public DataSource {
 public:
  explicit RandomSource(BatchOptions options) : options_(options) {}
  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    BatchOptions options = options_;
    options.lookahead = lookahead;
    options.count = count;
    options.length = length;
    *out = RandomBatch(options, first);
    return absl::OkStatus();
  }
  int64_t SampleCount(int64_t) const override { return samples; }
  int64_t TokenCount() const override { return 0; }
  double BytesPerToken() const override { return 0.0; }

  int64_t samples = -1;

 private:
  BatchOptions options_;
};

// The smallest model the attention kernel takes that has unequal sizes everywhere.
inline ModelConfig SmallModel() {
  return {
      .layers = 2, .hidden = 48, .heads = 4, .kv_heads = 2, .head_dim = 32, .ffn = 80, .vocab = 67};
}

inline Config SmallConfig(const ModelConfig& model = SmallModel()) {
  Config config;
  config.run.device = TestDeviceName();
  config.model = model;
  config.train.steps = 10;
  config.train.sequence_length = 16;
  config.train.global_batch_size = 4;
  config.train.micro_batch_size = 4;
  config.parallel.bucket_elements = 4096;
  return config;
}

// Calls set(id, values) for every parameter of one rank that has them whole.
template <typename Set>
void SetWholeWeights(const ParamTable& table, const reference::Params& params, const Set& set) {
  size_t used = 0;
  for (ParamId id = 0; id < table.size(); ++id) {
    std::vector<float> values(static_cast<size_t>(table[id].local.elements()));
    for (const PartShard& shard : table[id].shards) {
      const reference::Doubles& from = params.at(shard.part->name);
      ASSERT_EQ(static_cast<int64_t>(from.size()), shard.local.elements()) << shard.part->name;
      std::copy(from.begin(), from.end(), values.begin() + shard.offset);
      ++used;
    }
    set(id, values.data());
  }
  ASSERT_EQ(used, params.size()) << "the model and its twin have other tensors";
}

class Rig {
 public:
  explicit Rig(const Config& config, BatchOptions batch = {})
      : world_(MakeSelfCommunicator()),
        source(WithVocabulary(batch, config)),
        config_(config),
        mesh_(Mesh::Create(*world_, 1, {.device = TestDevice()}).value()) {
    TL_CHECK_OK(Validate(config, 1));
    stepper_ = Stepper::Create(config, mesh_).value();
    stepper_->Allocate();
    stepper_->Initialize();
    stepper_->on_gradients = [this](Tensor flat) { flat_ = flat; };
  }

  Stepper& operator*() { return *stepper_; }
  Stepper* operator->() { return stepper_.get(); }
  Mesh& mesh() { return mesh_; }

  void SetWeights(const reference::Params& params) {
    SetWholeWeights(stepper_->engine().params(), params, [&](ParamId id, const float* values) {
      stepper_->state().SetWeights(id, values);
    });
  }

  // One step; its gradients, of what is trained, before clipping, unscaled.
  StepResult Run() {
    const StepResult result = stepper_->Run(source).value();
    grads = Named(OnHost(stepper_->engine().stream(), flat_).data(), result.loss_scale, true);
    return result;
  }

  // What the next step of the run trains on.
  std::vector<HostBatch> Batches() const {
    const TrainConfig& t = config_.train;
    std::vector<HostBatch> batches(static_cast<size_t>(t.global_batch_size / t.micro_batch_size));
    for (size_t i = 0; i < batches.size(); ++i) {
      TL_CHECK_OK(source.FillBatch(
          stepper_->run().step * t.global_batch_size + static_cast<int64_t>(i) * t.micro_batch_size,
          t.micro_batch_size, t.sequence_length, stepper_->model().lookahead(), &batches[i]));
    }
    return batches;
  }
  DropoutConfig Dropout() const {
    return {.rate = config_.train.hidden_dropout,
            .seed = static_cast<uint64_t>(config_.train.seed)};
  }
  reference::ModelOptions TwinOptions() const {
    return {.model = config_.model,
            .segments = config_.data.pack_documents,
            .z_loss = config_.train.z_loss,
            .dropout = Dropout()};
  }

  // The masters, or optimizer state i, by name.
  reference::Params Master() { return State(-1); }
  reference::Params State(int i) {
    ShardedState& state = stepper_->state();
    std::vector<float> flat(static_cast<size_t>(stepper_->engine().params().elements()));
    for (const Segment& s : state.segments()) {
      const Tensor x =
          i < 0 ? state.Master(s.flat, s.shard, s.size) : state.State(i, s.shard, s.size);
      const std::vector<float> values = OnHost(stepper_->engine().stream(), x);
      std::copy(values.begin(), values.end(), flat.begin() + s.flat);
    }
    return Named(flat.data(), 1.0, false);
  }

 private:
  static BatchOptions WithVocabulary(BatchOptions batch, const Config& config) {
    batch.vocab = config.model.vocab;
    return batch;
  }
  reference::Params Named(const float* flat, double scale, bool trained_only) {
    const ParamTable& table = stepper_->engine().params();
    reference::Params named;
    for (ParamId id = 0; id < table.size(); ++id) {
      if (trained_only && !table[id].spec.trainable) continue;
      for (const PartShard& shard : table[id].shards) {
        reference::Doubles& values = named[shard.part->name];
        const float* from = flat + table[id].offset + shard.offset;
        for (int64_t i = 0; i < shard.local.elements(); ++i) values.push_back(from[i] / scale);
      }
    }
    return named;
  }

  std::unique_ptr<Communicator> world_;

 public:
  RandomSource source;
  reference::Params grads;

 private:
  Config config_;
  Mesh mesh_;
  std::unique_ptr<Stepper> stepper_;
  Tensor flat_;
};

// ||a - b|| / ||b||; NaN where either is.
inline double RelativeError(const reference::Doubles& a, const reference::Doubles& b) {
  if (a.size() != b.size()) return HUGE_VAL;
  double error = 0.0, size = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(error / size);
}

}  // namespace tl
