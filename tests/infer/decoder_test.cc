// SPDX-License-Identifier: Apache-2.0
// Decoding with a K/V cache against the model's fp64 twin, and every drafter's text against plain
// decoding's, to the token.
#include "infer/decoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/infer/model_distribution.h"
#include "tests/infer/model_rig.h"
#include "tests/kernels/test_device.h"
#include "tests/model/cases.h"
#include "tests/reference/model.h"

namespace tl {
namespace {

class Decoding : public testing::TestWithParam<DType> {
 protected:
  std::unique_ptr<Communicator> world_ = MakeSelfCommunicator();
  Mesh mesh_ = Mesh::Create(*world_, 1, {.device = TestDevice()}).value();
};
INSTANTIATE_TEST_SUITE_P(Types, Decoding, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return std::string(Name(info.param)); });

// The first tokens read at once, the others one by one, in two sequences of one batch.
TEST_P(Decoding, LogitsAreThoseOfTheWholeModel) {
  ModelConfig families[3] = {DecodingModel(), DecodingModel(), DecodingModel()};
  families[1].sliding_window = 0;
  families[1].tie_embeddings = true;
  families[2].qkv_bias = families[2].qk_norm = false;
  for (const ModelConfig& config : families) {
    constexpr int64_t kLength = 40, kRead = 27;
    const reference::Params params = RandomParams(config, GetParam());
    const auto model = MakeModel(config, GetParam(), {.sequences = 2, .context = kLength}, mesh_);
    SetWeights(*model, params);
    const HostBatch batch = RandomBatch({.count = 2, .length = kLength, .vocab = config.vocab});
    reference::internal::ModelPass twin({.model = config}, params, batch);
    twin.Forward();
    for (int64_t b = 0; b < 2; ++b)
      model->Prefill(absl::MakeConstSpan(batch.inputs).subspan(b * kLength, kRead), 0, b);
    for (int64_t i = kRead; i < kLength; ++i) {
      DecodeBatch rows;
      for (int64_t b = 0; b < 2; ++b)
        rows.AddNext(batch.inputs[static_cast<size_t>(b * kLength + i)], i, b);
      RowLogits logits;
      model->Run(rows, {.logits_end = 2}, &logits);
      ASSERT_EQ(logits.rows, 2);
      ASSERT_EQ(logits.width, config.vocab);
      double error = 0.0, size = 0.0;
      for (int64_t b = 0; b < 2; ++b) {
        for (int64_t v = 0; v < config.vocab; ++v) {
          const double exact =
              twin.logits[static_cast<size_t>((b * kLength + i) * config.vocab + v)];
          const double found = logits[b].values[static_cast<size_t>(v)];
          error += (found - exact) * (found - exact);
          size += exact * exact;
        }
      }
      ASSERT_LT(std::sqrt(error / size), GetParam() == DType::kF32 ? 1e-5 : 0.05) << "at " << i;
    }
  }
}

constexpr DecodeLimits kDecodingLimits{.sequences = 5, .context = 48, .drafts = 12};

TEST_P(Decoding, EveryDrafterWritesThePlainText) {
  const ModelConfig config = DecodingModel();
  const auto model = MakeModel(config, GetParam(), kDecodingLimits, mesh_);
  // Of another context length, so that the two are read again at different times.
  const auto draft_model =
      MakeModel(config, GetParam(), {.sequences = 5, .context = 30}, mesh_, 0.1);
  const auto prompts = Prompts(kMachine ? 3 : 9, config.vocab);
  const int64_t tokens = kMachine ? 8 : 40;
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 0.0}, SamplingOptions{.temperature = 0.7, .top_p = 0.9}}) {
    if (kMachine && sampling.temperature == 0.0) continue;
    auto cases =
        MatchCases(sampling, kMachine ? std::vector<int64_t>{4} : std::vector<int64_t>{1, 4});
    for (DecodeCase& c : cases) c.max_tokens = tokens;
    DecodeCase alone = cases[0];
    alone.batch = 1;
    const DecodeRun plain = Decode(*model, nullptr, alone, prompts);
    int64_t moved = 0;
    for (const DecodeCase& c : cases) {
      const std::string what = c.drafter.kind + " x" + std::to_string(c.batch) + " T " +
                               std::to_string(sampling.temperature) + " drafts " +
                               std::to_string(c.drafter.drafts);
      const DecodeRun run = Decode(*model, draft_model.get(), c, prompts);
      EXPECT_EQ(run.texts, plain.texts) << what;
      for (size_t p = 0; p < prompts.size(); ++p)
        EXPECT_EQ(run.texts[p].size(), prompts[p].size() + tokens) << what;
      if (c.drafter.kind == "none") {
        EXPECT_EQ(run.stats.tau(), 1.0) << what;
        continue;
      }
      // It was put to the test: some drafts were taken, others were not.
      const int64_t taken = run.stats.tokens - run.stats.sequence_passes;
      EXPECT_LT(taken, run.stats.drafted + (kMachine ? 1 : 0)) << what;
      moved += taken;
      EXPECT_GE(taken, kMachine ? 0 : 1) << what;
    }
    EXPECT_GT(moved, kMachine ? 0 : 100);
  }
}

// With temperature 0 all rules take the likeliest token.
TEST_P(Decoding, GreedyIsTheSameByEveryRule) {
  const ModelConfig config = DecodingModel();
  const auto model = MakeModel(config, GetParam(), kDecodingLimits, mesh_);
  const auto prompts = Prompts(6, config.vocab);
  DecodeCase c{.drafter = {.kind = "none", .sampling = {.temperature = 0.0}}, .batch = 2};
  const DecodeRun plain = Decode(*model, nullptr, c, prompts);
  c.drafter.kind = "early-exit";
  c.drafter.exit_layer = 3;
  for (const Verification rule :
       {Verification::kMatch, Verification::kRejection, Verification::kTypical}) {
    c.drafter.verification = rule;
    EXPECT_EQ(Decode(*model, nullptr, c, prompts).texts, plain.texts) << Name(rule);
  }
}

TEST_P(Decoding, TextsDependOnSeedAndPlaceAlone) {
  const ModelConfig config = DecodingModel();
  const auto model = MakeModel(config, GetParam(), kDecodingLimits, mesh_);
  auto prompts = Prompts(4, config.vocab);
  prompts[3] = prompts[1];
  DecodeCase c{.drafter = {.kind = "none", .sampling = {.temperature = 1.0}, .seed = 1}};
  const DecodeRun first = Decode(*model, nullptr, c, prompts);
  EXPECT_NE(first.texts[3], first.texts[1]) << "the same prompt in another place";
  c.batch = 4;
  EXPECT_EQ(Decode(*model, nullptr, c, prompts).texts, first.texts);
  c.drafter.seed = 2;
  EXPECT_NE(Decode(*model, nullptr, c, prompts).texts, first.texts);
}

// Drafts that are sampled and then taken or refused change the text, not its distribution. The
// drafts of the other drafters are held to the text itself above; decoder_long_test.cc draws more.
TEST(SampledDrafts, KeepTheModelsDistribution) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  ModelDistribution distribution(mesh);
  for (const ModelDistributionCase& c : ModelDistributionCases({.temperature = 1.0})) {
    if (c.drafter.verification != Verification::kRejection) continue;
    const ModelDistribution::Result result = distribution.Run(c.drafter, 10000);
    EXPECT_LT(result.deviate, 4.5) << c.name;
    EXPECT_GT(result.tau, 1.02) << c.name;
  }
}

TEST(FitContext, KeepsWhatFitsThenHalf) {
  Sequence s;
  s.tokens.assign(8, 0);
  FitContext(s, 8);
  EXPECT_EQ(s.start, 0);
  s.tokens.assign(9, 0);
  s.cached = 8;
  FitContext(s, 8);
  EXPECT_EQ(s.start, 4);
  EXPECT_EQ(s.cached, 0);
  s.tokens.assign(13, 0);
  FitContext(s, 8);
  EXPECT_EQ(s.start, 8);
  Sequence prompt;
  prompt.tokens.assign(20, 0);
  FitContext(prompt, 8);
  EXPECT_EQ(prompt.start, 12);
  Sequence one;
  one.tokens.assign(5, 0);
  FitContext(one, 1);
  EXPECT_EQ(one.position(), 0);
}

TEST(Drafters, UnknownOnesAreNamed) {
  const absl::Status status = CheckDrafter("crystal-ball");
  EXPECT_NE(status.message().find("none, lookup, draft-model, early-exit, mtp, heads"),
            std::string::npos)
      << status.message();
}

}  // namespace
}  // namespace tl
