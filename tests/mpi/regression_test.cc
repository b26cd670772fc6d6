// SPDX-License-Identifier: Apache-2.0
// A conditioned trunk over a tensor group: loss and gradients of every rank's shards are those of
// the fp64 twin, with rows whole and with rows split in the middle of samples.
#include "objective/regression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "mpi_main.h"
#include "tests/model/cases.h"
#include "tests/reference/regression.h"

namespace tl {
namespace {

using reference::Doubles;
using test::World;

constexpr int64_t kBatch = 3;

ModelConfig ModelOf(double dropout) {
  ModelConfig model = reference::SmallPictures();
  model.qk_norm = dropout > 0.0;
  return model;
}

std::vector<HostBatch> Batches() {
  return {RandomSamples(reference::SmallPictures(), kBatch),
          RandomSamples(reference::SmallPictures(), kBatch, kBatch)};
}

const reference::RegressionResult& Twin(double dropout) {
  static std::map<double, reference::RegressionResult> twins;
  const auto [twin, made] = twins.try_emplace(dropout);
  if (made) {
    const ModelConfig model = ModelOf(dropout);
    twin->second = reference::RunRegression(
        {.model = model, .dropout = {.rate = dropout, .seed = 1}}, RandomParams(model), Batches());
  }
  return twin->second;
}

double RelativeDistance(const std::vector<float>& got, const Doubles& want) {
  double error = 0.0, size = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(got[i] - want[i], 2);
    size += std::pow(want[i], 2);
  }
  return std::sqrt(error / size);
}

// Calls visit(element, place in the whole tensor) for all of this rank's shard.
template <typename Visit>
void ForEachElement(const PartShard& shard, const Visit& visit) {
  const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
  for (int64_t i = 0; i < shard.local.elements(); ++i) {
    const int64_t whole = GlobalIndex(shard, i / columns, i % columns);
    if (whole >= 0) visit(i, static_cast<size_t>(whole));
  }
}

void SetWeights(Engine& engine, const reference::Params& params) {
  const ParamTable& table = engine.params();
  for (ParamId id = 0; id < table.size(); ++id) {
    std::vector<float> values(static_cast<size_t>(table[id].local.elements()));
    for (const PartShard& shard : table[id].shards) {
      const Doubles& from = params.at(shard.part->name);
      ForEachElement(shard, [&](int64_t i, size_t whole) {
        values[static_cast<size_t>(shard.offset + i)] = static_cast<float>(from.at(whole));
      });
    }
    engine.SetWeights(id, values.data());
  }
}

void Check(int tensor, bool split_rows, Recompute recompute, double dropout) {
  SCOPED_TRACE(testing::Message() << "tensor " << tensor << (split_rows ? ", rows split, " : ", ")
                                  << Name(recompute));
  Mesh mesh = Mesh::Create(World(), tensor).value();
  ModelOptions options;
  options.model = ModelOf(dropout);
  options.batch = kBatch;
  options.sequence_length = options.model.patches();
  options.sequence_parallel = split_rows;
  options.blocks = {.recompute = recompute, .dropout = {.rate = dropout, .seed = 1}};
  options.bucket_elements = 4096;
  options.make_objective = [](const ObjectiveConfig&, const ObjectiveContext& context) {
    return std::make_unique<Regression>(context, "values");
  };
  const auto model = Model::Declare(options, mesh.grid()).value();
  Engine engine(*model, mesh, /*passes=*/2);
  SetWeights(engine, RandomParams(options.model));
  const ParamTable& table = engine.params();
  const std::vector<HostBatch> batches = Batches();
  const reference::RegressionResult& twin = Twin(dropout);
  StepScalars scalars;
  scalars.grad_scale[0] = static_cast<float>(1.0 / reference::internal::Samples(batches));
  engine.grad_sync().BeginStep(2);
  for (const HostBatch& batch : batches) engine.ForwardBackward(batch, &scalars);
  engine.grad_sync().Finish(engine.stream());
  engine.StartReadingHeads();
  engine.stream().Synchronize();
  // Every data rank has read the same samples: their mean is that of one.
  EXPECT_NEAR(engine.Heads().at(0).loss, twin.loss, 1e-6 * twin.loss);
  if (mesh.data_size() > 1) return;
  for (ParamId id = 0; id < table.size(); ++id) {
    for (const PartShard& shard : table[id].shards) {
      const Doubles& want = twin.grads.at(shard.part->name);
      const float* got = engine.grads().as<float>() + table[id].offset + shard.offset;
      double error = 0.0, size = 0.0;
      ForEachElement(shard, [&](int64_t i, size_t whole) {
        error += std::pow(got[i] - want.at(whole), 2);
        size += std::pow(want.at(whole), 2);
      });
      EXPECT_LE(std::sqrt(error / size), 1e-5) << shard.part->name;
    }
  }
}

TEST(Regression, IsTheTwinsOnEveryTensorGroup) {
  for (int tensor = 2; tensor <= World().size(); tensor *= 2) {
    for (const bool split_rows : {false, true}) {
      Check(tensor, split_rows, Recompute::kNone, 0.0);
      Check(tensor, split_rows, Recompute::kFull, 0.25);
    }
  }
  Check(World().size(), true, Recompute::kSelective, 0.0);
}

// All ranks get the same bits: what they decide by them, they decide alike.
TEST(Regression, InputGradientsAreTheTwinsOnEveryTensorGroup) {
  const ModelConfig pictures = ModelOf(0.25);
  const reference::Params params = RandomParams(pictures);
  const HostBatch batch = Batches().front();
  reference::internal::RegressionPass twin({.model = pictures}, params, batch);
  twin.Forward();
  reference::Params unused;
  const Doubles gradient = twin.Backward(Doubles(batch.target.begin(), batch.target.end()), unused);
  for (int tensor = 2; tensor <= World().size(); tensor *= 2) {
    Mesh mesh = Mesh::Create(World(), tensor).value();
    ModelOptions options;
    options.model = pictures;
    options.batch = kBatch;
    options.sequence_length = pictures.patches();
    options.purpose = Plan::Purpose::kInputGradient;
    options.make_objective = [](const ObjectiveConfig&, const ObjectiveContext& context) {
      return std::make_unique<Regression>(context, "values");
    };
    const auto model = Model::Declare(options, mesh.grid()).value();
    Engine engine(*model, mesh);
    SetWeights(engine, params);
    std::vector<float> out(gradient.size()), product(gradient.size());
    engine.Predict(batch, absl::MakeSpan(out), absl::MakeSpan(product));
    EXPECT_LE(RelativeDistance(out, twin.f), 1e-5);
    EXPECT_LE(RelativeDistance(product, gradient), 1e-5);
    for (std::vector<float>* mine : {&out, &product}) {
      std::vector<float> first = *mine;
      Stream stream = Stream::Cpu();
      World().Broadcast(stream, Tensor::Of(first.data(), {std::ssize(first)}), 0);
      stream.Synchronize();
      EXPECT_EQ(*mine, first);
    }
  }
}

}  // namespace
}  // namespace tl
