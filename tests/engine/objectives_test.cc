// SPDX-License-Identifier: Apache-2.0
// The objectives with several heads: losses and every gradient against the fp64 twin, which
// computes all heads jointly; their normalisation; what is frozen; what they remember.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "tests/engine/rig.h"
#include "tests/gradcheck.h"
#include "tests/model/objective_cases.h"

namespace tl {
namespace {

Config ConfigOf(const ObjectiveCase& c) {
  Config config = SmallConfig();
  config.model.tie_embeddings = c.tied;
  config.objective = c.objective;
  config.train.micro_batch_size = 2;
  config.train.loss_chunk = 13;
  config.data.pack_documents = true;
  if (FreezesTrunk(c.objective)) config.run.init_from = "given by the test";
  return config;
}

std::vector<double> HeadWeights(Rig& rig, int64_t step = 0) {
  const Objective& objective = rig->model().objective();
  std::vector<double> weights;
  for (int i = 0; i < objective.head_count(); ++i) weights.push_back(objective.Weight(i, step, 10));
  return weights;
}

void ExpectSameAsTwin(const Config& config, const reference::ObjectiveTotals& twin,
                      const StepResult& result, const reference::Params& grads) {
  EXPECT_NEAR(result.loss, twin.loss, 1e-6 * (1 + twin.loss));
  ASSERT_EQ(result.heads.size(), twin.losses.size());
  for (size_t i = 0; i < twin.losses.size(); ++i)
    EXPECT_NEAR(result.heads[i].loss, twin.losses[i], 1e-6 * twin.losses[i]) << i;
  for (size_t i = 0; i < twin.targets.size(); ++i)
    EXPECT_EQ(result.heads[i].targets, twin.targets[i]) << i;
  ASSERT_EQ(grads.size(), twin.grads.size());
  double worst = 0.0;
  for (const auto& [name, grad] : twin.grads) {
    const double error = RelativeError(grads.at(name), grad);
    EXPECT_LE(error, 1e-4) << name;
    worst = std::max(worst, error);
  }
  std::printf("%s: gradients off by at most %.1e\n", config.objective.name.c_str(), worst);
}

class Objectives : public testing::TestWithParam<ObjectiveCase> {};

// One head after the other is one joint computation, to fp32 rounding. With dropout where something
// is recomputed.
TEST_P(Objectives, SequentialEqualsJoint) {
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    SCOPED_TRACE(Name(recompute));
    Config config = ConfigOf(GetParam());
    config.train.recompute = recompute;
    if (recompute != Recompute::kNone) config.train.hidden_dropout = 0.2;
    const auto params = RandomParams(config.model, DType::kF32, config.objective);
    Rig rig(config, {.packed = true, .masked = true});
    rig.SetWeights(params);
    const auto twin = reference::RunObjective({.model = config.model,
                                               .objective = config.objective,
                                               .weights = HeadWeights(rig),
                                               .segments = true,
                                               .dropout = rig.Dropout()},
                                              params, rig.Batches(), /*with_gradients=*/true);
    const StepResult result = rig.Run();
    ExpectSameAsTwin(config, twin, result, rig.grads);
  }
}

// In bf16 and fp16 the losses are those of fp32 to the precision of the type.
TEST_P(Objectives, LowPrecision) {
  for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
    Config config = ConfigOf(GetParam());
    config.precision.compute = precision;
    config.precision.loss_scale = 256.0;
    const auto params = RandomParams(config.model, DType::kBF16, config.objective);
    Rig rig(config, {.packed = true});
    rig.SetWeights(params);
    const auto twin = reference::RunObjective({.model = config.model,
                                               .objective = config.objective,
                                               .weights = HeadWeights(rig),
                                               .segments = true},
                                              params, rig.Batches(), /*with_gradients=*/true);
    const StepResult result = rig.Run();
    EXPECT_FALSE(result.skipped);
    const double unit = precision == Precision::kBf16 ? 0x1p-8 : 0x1p-11;
    for (size_t i = 0; i < twin.losses.size(); ++i)
      EXPECT_NEAR(result.heads[i].loss, twin.losses[i], 8 * unit * twin.losses[i]) << i;
    for (const auto& [name, grad] : twin.grads)
      EXPECT_LE(RelativeError(rig.grads.at(name), grad), 32 * unit) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Objectives, testing::ValuesIn(ObjectiveCases()),
                         [](const auto& info) { return info.param.name; });

ObjectiveCase CaseNamed(const std::string& name) {
  for (const ObjectiveCase& c : ObjectiveCases()) {
    if (c.name == name) return c;
  }
  TL_CHECK(false) << name;
  return {};
}

// The heads move, and what is frozen keeps every bit; in 16 bits too, whose masters are saved.
TEST(FrozenTrunk, KeepsEveryBit) {
  for (const char* name : {"MedusaFrozen", "MedusaFrozenShared", "MedusaFrozenDistill", "MtpFrozen",
                           "MtpFrozenStream"}) {
    for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
      Config config = ConfigOf(CaseNamed(name));
      config.precision.compute = precision;
      Rig rig(config);
      const reference::Params before = rig.Master();
      const ParamTable& table = rig->engine().params();
      for (int i = 0; i < 3; ++i) rig.Run();
      const reference::Params after = rig.Master();
      int64_t frozen = 0;
      for (const auto& [tensor, values] : before) {
        const bool head = tensor.rfind("medusa.", 0) == 0 || tensor.rfind("mtp.", 0) == 0;
        EXPECT_EQ(after.at(tensor) == values, !head) << tensor;
        if (!head) frozen += static_cast<int64_t>(values.size());
      }
      EXPECT_LE(table.trainable_elements(), table.elements() - frozen);
      EXPECT_EQ(rig->model().gradient_bytes(), table.trainable_elements() * 4);
      EXPECT_EQ(rig->state().state_bytes(), 2 * table.trainable_elements() * 4);
    }
  }
}

// Heads that are not there get no gradient, count nothing and keep their weights: neither weight
// decay nor what is left of their momentum moves them.
TEST(Curriculum, HeadsJoinAndLeave) {
  ObjectiveCase c = CaseNamed("FourHeads");
  c.objective.Set("curriculum_steps", 8);
  for (const Curriculum curriculum : {Curriculum::kForward, Curriculum::kReverse}) {
    c.objective.Set("curriculum", curriculum);
    Config config = ConfigOf(c);
    config.optimizer.weight_decay = 0.1;
    Rig rig(config);
    reference::Params before = rig.Master();
    for (int step = 0; step < 9; ++step) {
      const StepResult result = rig.Run();
      const reference::Params after = rig.Master();
      for (int head = 0; head < 4; ++head) {
        SCOPED_TRACE("step " + std::to_string(step) + ", head " + std::to_string(head + 1));
        const bool there = curriculum == Curriculum::kForward ? step >= 2 * head
                                                              : head == 0 || step < 8 - 2 * head;
        EXPECT_EQ(result.heads[head].targets > 0, there);
        const std::string name = "heads." + std::to_string(head + 1) + ".mlp.up.weight";
        EXPECT_EQ(Dot(rig.grads.at(name), rig.grads.at(name)) > 0.0, there);
        EXPECT_EQ(after.at(name) != before.at(name), there);
      }
      before = after;
    }
  }
  c.objective.Set("curriculum", Curriculum::kReverse);
  Rig reverse(ConfigOf(c));
  EXPECT_EQ(HeadWeights(reverse, 0), (std::vector<double>{1, 1, 1, 1}));
  EXPECT_EQ(HeadWeights(reverse, 1), (std::vector<double>{1, 1, 1, 1}));
  EXPECT_EQ(HeadWeights(reverse, 2), (std::vector<double>{1, 1, 1, 0}));
  EXPECT_EQ(HeadWeights(reverse, 5), (std::vector<double>{1, 1, 0, 0}));
  EXPECT_EQ(HeadWeights(reverse, 9), (std::vector<double>{1, 0, 0, 0}));
}

// Weight decay does not move modules that are no longer trained.
TEST(SequentialMtp, ModulesOfNoWeightStay) {
  for (const bool shared : {false, true}) {
    Config config = ConfigOf(CaseNamed("Mtp"));
    config.objective.Set("share_weights", shared);
    config.objective.Set("lambda", 0.3);
    config.objective.Set("lambda_late", 0.0);
    config.objective.Set("late_after", 0.5);
    config.train.steps = 4;
    config.optimizer.weight_decay = 0.1;
    Rig rig(config);
    reference::Params before = rig.Master();
    for (int step = 0; step < 4; ++step) {
      rig.Run();
      const reference::Params after = rig.Master();
      for (const auto& [name, values] : before) {
        const bool stays = step >= 2 && name.rfind("mtp.", 0) == 0;
        EXPECT_EQ(after.at(name) == values, stays) << name << ", step " << step;
      }
      before = after;
    }
  }
}

// Trunk and head 1 are a model with one more layer.
TEST(IndependentHeads, OneMatchedHeadIsThePlainModel) {
  Config plain = SmallConfig(), one = plain;
  one.objective = CaseNamed("MatchedHeads").objective;
  Rig a(plain), b(one);
  reference::Params params = RandomParams(plain.model);
  a.SetWeights(params);
  const std::string last = "layers." + std::to_string(plain.model.layers - 1);
  reference::Params renamed;
  for (const auto& [name, values] : params) {
    renamed[name.rfind(last, 0) == 0 ? "heads.1" + name.substr(last.size()) : name] = values;
  }
  b.SetWeights(renamed);
  EXPECT_EQ(a.Run().loss, b.Run().loss);
  for (const auto& [name, grad] : a.grads) {
    const bool moved = name.rfind(last, 0) == 0;
    EXPECT_EQ(grad, b.grads.at(moved ? "heads.1" + name.substr(last.size()) : name)) << name;
  }
}

// Megatron-LM #3159 counted the targets of the unshifted mask: here each head divides by its own.
TEST(Normalisation, EveryHeadCountsItsOwnShiftedMask) {
  const ObjectiveCase c = CaseNamed("FourHeads");
  Config config = ConfigOf(c);
  Rig rig(config, {.packed = true});
  const auto batches = rig.Batches();
  const StepResult result = rig.Run();
  int64_t previous = INT64_MAX;
  for (int head = 0; head < 4; ++head) {
    int64_t count = 0;
    for (const HostBatch& batch : batches) count += batch.TargetCount(head + 1);
    EXPECT_EQ(result.heads[head].targets, count);
    EXPECT_LT(count, previous) << "documents are short: later heads have fewer targets";
    previous = count;
  }
}

// Megatron-LM #3959 divided by the size of a group of ranks, and gradient accumulation elsewhere
// averages the averages of micro-batches: here any cut of the batch gives one gradient.
TEST(Normalisation, MicroBatchesOfUnequalCountsAddUp) {
  for (const char* name : {"FourHeads", "Mtp", "Medusa", "MedusaDistill"}) {
    reference::Params whole;
    double loss = 0.0;
    for (const int64_t size : {4, 1}) {
      Config config = ConfigOf(CaseNamed(name));
      config.train.micro_batch_size = size;
      Rig rig(config, {.packed = true, .masked = true});
      rig.SetWeights(RandomParams(config.model, DType::kF32, config.objective));
      const StepResult result = rig.Run();
      if (size == 4) {
        whole = rig.grads;
        loss = result.loss;
        continue;
      }
      EXPECT_NEAR(result.loss, loss, 1e-6 * loss) << name;
      for (const auto& [tensor, grad] : whole)
        EXPECT_LE(RelativeError(rig.grads.at(tensor), grad), 1e-5) << name << " " << tensor;
    }
  }
}

// verl #6432: gradients of detached modules leaked into the unembedding.
TEST(Normalisation, DetachedModulesLeaveTheTrunkAlone) {
  Config config = ConfigOf(CaseNamed("MtpDetached"));
  Config plain = config;
  plain.objective = {};
  reference::Params params = RandomParams(config.model, DType::kF32, config.objective);
  Rig detached(config), alone(plain);
  detached.SetWeights(params);
  for (auto it = params.begin(); it != params.end();)
    it = it->first.rfind("mtp.", 0) == 0 ? params.erase(it) : std::next(it);
  alone.SetWeights(params);
  detached.Run();
  alone.Run();
  for (const auto& [name, grad] : alone.grads) EXPECT_EQ(detached.grads.at(name), grad) << name;
}

// slime #1503 swapped the projection's columns: [hidden | embedding]. With those of the embedding
// zero the module does not see its token, with those of the state zero it sees nothing else.
TEST(SequentialMtp, ProjectionColumnsAreHiddenThenEmbedding) {
  Config config = ConfigOf(CaseNamed("MtpUntied"));
  config.data.pack_documents = false;
  const auto run = [&](bool zero_embedding_columns, double embedding_scale) {
    reference::Params params = RandomParams(config.model, DType::kF32, config.objective);
    reference::Doubles& projection = params.at("mtp.1.projection.weight");
    const auto width = static_cast<size_t>(config.model.hidden);
    for (size_t i = 0; i < projection.size(); ++i) {
      if ((i % (2 * width) >= width) == zero_embedding_columns) projection[i] = 0.0;
    }
    for (double& w : params.at("mtp.1.embedding_norm.weight")) w *= embedding_scale;
    Rig rig(config);
    rig.SetWeights(params);
    return rig.Run().heads[1].loss;
  };
  EXPECT_EQ(run(true, 1.0), run(true, 3.0));
  EXPECT_NE(run(false, 1.0), run(false, 3.0));
}

// Four heads on one unembedding take no more memory than one, the gradient of one head aside.
TEST(Memory, FourHeadsNeedNoMoreThanOne) {
  const auto bytes = [&](int64_t heads) {
    ModelOptions options;
    options.model = {.layers = 4, .hidden = 256, .heads = 4, .ffn = 704, .vocab = 50304};
    options.objective = CaseNamed("OneHead").objective;
    options.objective.Set("heads", heads);
    options.sequence_length = 1024;
    return Model::Declare(options, {}).value()->activation_bytes();
  };
  const int64_t one = bytes(1), four = bytes(4);
  std::printf("activations and loss, vocabulary 50304, T = 1024: 1 head %.1f MB, 4 heads %.1f MB\n",
              static_cast<double>(one) / 1e6, static_cast<double>(four) / 1e6);
  EXPECT_LE(static_cast<double>(four), 1.05 * static_cast<double>(one));
}

}  // namespace
}  // namespace tl
