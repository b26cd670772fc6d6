// A hundred texts and a million draws of three tokens by every drafter.
#include <gtest/gtest.h>

#include "tests/infer/model_law.h"

namespace tl {
namespace {

TEST(DecoderLong, EveryDrafterKeepsTheModelsLaw) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  ModelLaw law(mesh);
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 1.0}, SamplingOptions{.temperature = 0.7, .top_p = 0.9}}) {
    for (const ModelLawCase& c : ModelLawCases(sampling)) {
      const ModelLaw::Result result = law.Run(c.drafter, 1000000);
      EXPECT_LT(result.deviate, 4.5) << c.name << " T " << sampling.temperature;
      EXPECT_GT(result.tau, 1.02) << c.name << " T " << sampling.temperature;
    }
  }
}

TEST(DecoderLong, ModulesKeepTheModelsLaw) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  ModelLaw law(mesh, MtpObjective(2));
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 1.0}, SamplingOptions{.temperature = 0.7, .top_p = 0.9}}) {
    for (const ModelLawCase& c : MtpLawCases(sampling)) {
      const ModelLaw::Result result = law.Run(c.drafter, 1000000);
      EXPECT_LT(result.deviate, 4.5) << c.name << " T " << sampling.temperature;
      EXPECT_GT(result.tau, 1.02) << c.name << " T " << sampling.temperature;
    }
  }
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
  }
}

}  // namespace
}  // namespace tl
