// SPDX-License-Identifier: Apache-2.0
// A hundred texts and a million draws of three tokens by every drafter.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/infer/model_distribution.h"
#include "tests/infer/mtp_rig.h"

namespace tl {
namespace {

using DistributionCases = std::vector<ModelDistributionCase> (*)(const SamplingOptions&);

void ExpectDistribution(const ObjectiveConfig& objective, DistributionCases cases) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  ModelDistribution distribution(mesh, objective);
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 1.0}, SamplingOptions{.temperature = 0.7, .top_p = 0.9}}) {
    for (const ModelDistributionCase& c : cases(sampling)) {
      const ModelDistribution::Result result = distribution.Run(c.drafter, 1000000);
      const std::string what =
          objective.name + ": " + c.name + " T " + std::to_string(sampling.temperature);
      std::printf("%s: deviate %.2f, mean accepted length %.3f\n", what.c_str(), result.deviate,
                  result.tau);
      EXPECT_LT(result.deviate, 4.5) << what;
      EXPECT_GT(result.tau, 1.02) << what;
    }
  }
}

TEST(DecoderLong, EveryDrafterKeepsTheModelsDistribution) {
  ExpectDistribution({}, ModelDistributionCases);
}
TEST(DecoderLong, ModulesKeepTheModelsDistribution) {
  ExpectDistribution(MtpObjective(2), MtpDistributionCases);
}
TEST(DecoderLong, MedusaHeadsKeepTheModelsDistribution) {
  ExpectDistribution(MedusaHeads(), HeadsDistributionCases);
}
TEST(DecoderLong, IndependentHeadsKeepTheModelsDistribution) {
  ExpectDistribution(IndependentHeadsConfig(), HeadsDistributionCases);
}

TEST(DecoderLong, AHundredTextsAreThePlainOnes) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  const ModelConfig config = DecodingModel();
  const auto prompts = Prompts(100, config.vocab);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model =
        MakeModel(config, compute, {.sequences = 32, .context = 64, .drafts = 12}, mesh);
    const auto draft_model =
        MakeModel(config, compute, {.sequences = 32, .context = 64}, mesh, 0.1);
    for (const double temperature : {0.0, 1.0}) {
      const auto cases = MatchCases({.temperature = temperature}, {1, 7, 32});
      const DecodeRun plain = Decode(*model, nullptr, cases[0], prompts);
      for (const DecodeCase& c : cases)
        EXPECT_EQ(Decode(*model, draft_model.get(), c, prompts).texts, plain.texts)
            << c.drafter.kind << " x" << c.batch << " " << Name(compute) << " T " << temperature;
    }
    for (const ObjectiveConfig& objective : {MedusaHeads(), IndependentHeadsConfig()}) {
      const auto with_heads = MakeModel(
          config, compute, {.sequences = 32, .context = 64, .drafts = 112}, mesh, 0.0, objective);
      for (const double temperature : {0.0, 1.0}) {
        const auto cases = HeadsCases({.temperature = temperature}, {1, 7, 32});
        const DecodeRun plain = Decode(*with_heads, nullptr, cases[0], prompts);
        for (const DecodeCase& c : cases)
          EXPECT_EQ(Decode(*with_heads, nullptr, c, prompts).texts, plain.texts)
              << objective.name << " x" << c.batch << " " << Name(compute) << " T " << temperature;
      }
    }
  }
}

TEST(DecoderLong, AHundredTextsByModulesAreThePlainOnes) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  const ModelConfig config = DecodingModel();
  const auto prompts = Prompts(100, config.vocab);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = MakeMtpModel(config, MtpCases()[1].objective, compute,
                                    {.sequences = 32, .context = 64, .drafts = 3}, mesh);
    for (const double temperature : {0.0, 1.0}) {
      DecodeCase c{.drafter = {.kind = "none", .sampling = {.temperature = temperature}}};
      const DecodeRun plain = Decode(*model, nullptr, c, prompts);
      c.drafter.kind = "mtp";
      for (const int64_t batch : {1, 7, 32}) {
        c.batch = batch;
        EXPECT_EQ(Decode(*model, nullptr, c, prompts).texts, plain.texts)
            << "x" << batch << " " << Name(compute) << " T " << temperature;
      }
    }
  }
}

}  // namespace
}  // namespace tl
