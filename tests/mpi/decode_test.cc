// SPDX-License-Identifier: Apache-2.0
// Decoding on the ranks of a tensor group: speculation still changes nothing, and the logits are
// those of one rank.
#include <cmath>

#include "mpi_main.h"
#include "tests/infer/model_rig.h"
#include "tests/infer/mtp_rig.h"

namespace tl {
namespace {

using test::World;

TEST(TensorParallelDecoding, SpeculationAndBatchesKeepTheText) {
  Mesh mesh = Mesh::Create(World(), World().size()).value();
  const ModelConfig config = DecodingModel();
  const auto prompts = Prompts(3, config.vocab);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const DecodeLimits limits{.sequences = 2, .context = 32, .drafts = 8};
    const auto model = MakeModel(config, compute, limits, mesh);
    const auto draft_model = MakeModel(config, compute, {.sequences = 2, .context = 32}, mesh, 0.1);
    const double temperature = compute == DType::kF32 ? 0.8 : 0.0;
    DecodeCase c{.drafter = {.kind = "none", .sampling = {.temperature = temperature}},
                 .max_tokens = 16};
    const DecodeRun plain = Decode(*model, nullptr, c, prompts);
    c.batch = 2;
    c.drafter.branches = 2;
    for (const char* kind : {"none", "lookup", "draft-model", "early-exit"}) {
      c.drafter.kind = kind;
      EXPECT_EQ(Decode(*model, draft_model.get(), c, prompts).texts, plain.texts)
          << kind << " " << Name(compute) << " T " << temperature;
    }
  }
}

TEST(TensorParallelDecoding, ModulesKeepTheText) {
  Mesh mesh = Mesh::Create(World(), World().size()).value();
  const ModelConfig config = DecodingModel();
  const auto prompts = Prompts(3, config.vocab);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = MakeMtpModel(config, MtpCases()[1].objective, compute,
                                    {.sequences = 2, .context = 24, .drafts = 3}, mesh);
    const double temperature = compute == DType::kF32 ? 0.8 : 0.0;
    DecodeCase c{.drafter = {.kind = "none", .sampling = {.temperature = temperature}},
                 .max_tokens = 24};
    const DecodeRun plain = Decode(*model, nullptr, c, prompts);
    c.batch = 2;
    c.drafter.kind = "mtp";
    const DecodeRun run = Decode(*model, nullptr, c, prompts);
    EXPECT_EQ(run.texts, plain.texts) << Name(compute) << " T " << temperature;
    EXPECT_GT(run.stats.tau(), 1.02);
  }
}

TEST(TensorParallelDecoding, DraftsOfHeadsKeepTheText) {
  Mesh mesh = Mesh::Create(World(), World().size()).value();
  const ModelConfig config = DecodingModel();
  const auto prompts = Prompts(3, config.vocab);
  for (const ObjectiveConfig& objective : {MedusaHeads(), IndependentHeadsConfig()}) {
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      const DecodeLimits limits{.sequences = 2, .context = 24, .drafts = 112};
      const auto model = MakeModel(config, compute, limits, mesh, 0.0, objective);
      const double temperature = compute == DType::kF32 ? 0.8 : 0.0;
      auto cases = HeadsCases({.temperature = temperature}, {1, 2});
      for (DecodeCase& c : cases) c.max_tokens = 16;
      const DecodeRun plain = Decode(*model, nullptr, cases[0], prompts);
      for (const DecodeCase& c : cases)
        EXPECT_EQ(Decode(*model, nullptr, c, prompts).texts, plain.texts)
            << objective.name << " " << Name(compute) << " x" << c.batch << " tree of "
            << c.drafter.tree.size();
    }
  }
}

// Sums over ranks are made in another order: equal to rounding, token by token on one text.
TEST(TensorParallelDecoding, LogitsAreThoseOfOneRank) {
  Mesh mesh = Mesh::Create(World(), World().size()).value();
  const auto self = MakeSelfCommunicator();
  Mesh alone = Mesh::Create(*self, 1).value();
  const ModelConfig config = DecodingModel();
  const DecodeLimits limits{.sequences = 1, .context = 24};
  const auto divided = MakeModel(config, DType::kF32, limits, mesh);
  const auto whole = MakeModel(config, DType::kF32, limits, alone);
  for (int64_t i = 0; i < limits.context; ++i) {
    DecodeBatch row;
    row.AddNext(static_cast<int32_t>(i * 7 % config.vocab), i, 0);
    RowLogits of_ranks, of_one;
    divided->Run(row, {.logits_end = 1}, &of_ranks);
    whole->Run(row, {.logits_end = 1}, &of_one);
    const absl::Span<const float> a = of_ranks[0].values, b = of_one[0].values;
    ASSERT_EQ(a.size(), static_cast<size_t>(config.vocab));
    ASSERT_EQ(b.size(), a.size());
    double error = 0.0, size = 0.0;
    for (size_t v = 0; v < a.size(); ++v) {
      error = std::max(error, std::abs(static_cast<double>(a[v]) - b[v]));
      size = std::max(size, std::abs(static_cast<double>(b[v])));
    }
    ASSERT_LE(error, 1e-4 * size) << "at " << i;
  }
}

}  // namespace
}  // namespace tl
