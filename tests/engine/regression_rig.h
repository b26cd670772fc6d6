// SPDX-License-Identifier: Apache-2.0
// A conditioned trunk between patches and a head of values, with weights set and gradients read by
// the names of the tensors.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "objective/regression.h"
#include "tests/engine/rig.h"
#include "tests/reference/regression.h"

namespace tl {

struct RegressionCase {
  ModelConfig model = reference::SmallPictures();
  DType compute = DType::kF32;
  Recompute recompute = Recompute::kNone;
  double dropout = 0.0;
  int64_t batch = 3;
  Plan::Purpose purpose = Plan::Purpose::kTraining;
};

inline constexpr double kLossScale = 64.0;

class Regressed {
 public:
  explicit Regressed(const RegressionCase& c)
      : case_(c),
        world_(MakeSelfCommunicator()),
        mesh_(Mesh::Create(*world_, 1, {.device = TestDevice()}).value()) {
    ModelOptions options;
    options.model = c.model;
    options.compute = c.compute;
    options.batch = c.batch;
    options.sequence_length = c.model.patches();
    options.blocks = {.recompute = c.recompute, .dropout = {.rate = c.dropout, .seed = 1}};
    options.bucket_elements = 4096;
    options.device = TestDevice().type;
    options.purpose = c.purpose;
    options.make_objective = [](const ObjectiveConfig&, const ObjectiveContext& context) {
      return std::make_unique<Regression>(context, "values");
    };
    model_ = Model::Declare(options, mesh_.grid()).value();
    engine_ = std::make_unique<Engine>(*model_, mesh_, /*passes=*/2);
  }

  Engine& engine() { return *engine_; }
  const Model& model() const { return *model_; }

  void SetWeights(const reference::Params& params) {
    SetWholeWeights(engine_->params(), params,
                    [&](ParamId id, const float* values) { engine_->SetWeights(id, values); });
  }

  // Gradients of the mean over the samples of these batches that count.
  reference::Params Run(const std::vector<HostBatch>& batches) {
    StepScalars scalars;
    const double scale = case_.compute == DType::kF16 ? kLossScale : 1.0;
    scalars.grad_scale[0] = static_cast<float>(scale / reference::internal::Samples(batches));
    const Placed<StepScalars> placed(scalars);
    TestStream().Synchronize();
    engine_->ClearHeadSums();
    engine_->grad_sync().BeginStep(static_cast<int>(batches.size()));
    for (const HostBatch& batch : batches) engine_->ForwardBackward(batch, placed.get());
    engine_->grad_sync().Finish(engine_->stream());
    const std::vector<float> flat = OnHost(engine_->stream(), engine_->grads());
    reference::Params grads;
    const ParamTable& table = engine_->params();
    for (ParamId id = 0; id < table.size(); ++id) {
      for (const PartShard& shard : table[id].shards) {
        for (int64_t i = 0; i < shard.local.elements(); ++i)
          grads[shard.part->name].push_back(
              flat[static_cast<size_t>(table[id].offset + shard.offset + i)] / scale);
      }
    }
    return grads;
  }

  HeadResult Head() {
    engine_->StartReadingHeads();
    engine_->stream().Synchronize();
    return engine_->Heads().at(0);
  }

 private:
  RegressionCase case_;
  std::unique_ptr<Communicator> world_;
  Mesh mesh_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace tl
