// SPDX-License-Identifier: Apache-2.0
// Layers on one rank over memory that starts as NaN: what a layer reads it must have written.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "nn/geometry.h"
#include "nn/step.h"
#include "tests/reference/block.h"

namespace tl {

class LayerRig {
 public:
  LayerRig(Geometry geometry, const std::function<void(Plan&)>& declare,
           Plan::Purpose purpose = Plan::Purpose::kTraining)
      : world_(MakeSelfCommunicator()),
        mesh_(Mesh::Create(*world_, 1).value()),
        plan_(table_, purpose),
        stream_(Stream::Cpu()),
        comm_stream_(Stream::Cpu(Stream::Mode::kAsync)) {
    declare(plan_);
    plan_.Finish();
    table_.Layout(1024);
    weight_memory_ = Buffer::Allocate(
        Device{}, static_cast<size_t>(table_.elements()) * SizeOf(geometry.compute));
    arena_ = Buffer::Allocate(Device{}, static_cast<size_t>(plan_.arena_bytes()));
    grads_.assign(static_cast<size_t>(table_.elements()), 0.0f);
    weights_.table = &table_;
    weights_.flat =
        Tensor::Contiguous(weight_memory_.data(), {table_.elements()}, geometry.compute, Device{});
    weights_.ready.resize(table_.buckets().size());
    sync_ = std::make_unique<GradSync>(table_, mesh_, comm_stream_,
                                       Tensor::Of(grads_.data(), {table_.elements()}));
    Poison();
  }

  // Every byte of the activations' memory becomes part of a NaN of any type.
  void Poison() {
    if (arena_.size() > 0) std::memset(arena_.data(), 0xff, arena_.size());
  }
  const Plan& plan() const { return plan_; }
  const ParamTable& table() const { return table_; }
  GradSync& sync() { return *sync_; }

  void SetWeights(const reference::Params& params) {
    for (ParamId id = 0; id < table_.size(); ++id) {
      const Tensor view = weights_.View(id);
      for (const PartShard& shard : table_[id].shards) {
        const reference::Doubles& values = params.at(shard.part->name);
        ASSERT_EQ(static_cast<int64_t>(values.size()), shard.local.elements());
        for (size_t i = 0; i < values.size(); ++i) {
          const size_t at = static_cast<size_t>(shard.offset) + i;
          const auto value = static_cast<float>(values[i]);
          if (view.dtype == DType::kF32) view.as<float>()[at] = value;
          if (view.dtype == DType::kBF16) view.as<BF16>()[at] = FromFloat<BF16>(value);
          if (view.dtype == DType::kF16) view.as<F16>()[at] = FromFloat<F16>(value);
        }
      }
    }
  }

  // Runs one step of one micro-batch: body makes the passes.
  void Run(const Inputs& inputs, const Training& mode, const std::function<void(Step&)>& body,
           Tensor head_sums = {}) {
    sync_->BeginStep(1);
    Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, sync_.get(),
              {.inputs = inputs, .mode = mode, .head_sums = head_sums});
    body(step);
    sync_->Finish(stream_);
  }

  // Passes that ask for no gradients.
  void Evaluate(const Inputs& inputs, const std::function<void(Step&)>& body,
                Tensor head_sums = {}) {
    Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, nullptr,
              {.inputs = inputs, .mode = Evaluation{}, .head_sums = head_sums});
    body(step);
  }

  reference::Params Grads() const {
    reference::Params named;
    for (ParamId id = 0; id < table_.size(); ++id) {
      for (const PartShard& shard : table_[id].shards) {
        const auto from = grads_.begin() + table_[id].offset + shard.offset;
        named[shard.part->name].assign(from, from + shard.local.elements());
      }
    }
    return named;
  }
  const std::vector<float>& flat_grads() const { return grads_; }

 private:
  std::unique_ptr<Communicator> world_;
  Mesh mesh_;
  ParamTable table_{1, 1, 0};
  Plan plan_;
  Stream stream_, comm_stream_;
  Buffer weight_memory_, arena_;
  std::vector<float> grads_;
  Weights weights_;
  std::unique_ptr<GradSync> sync_;
};

}  // namespace tl
