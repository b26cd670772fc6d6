// SPDX-License-Identifier: Apache-2.0
// Drafts by heads: their logits against the model's fp64 twin, their caches against models that
// read everything anew, and the texts against plain decoding's.
#include "infer/heads_drafter.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/infer/model_distribution.h"
#include "tests/infer/model_rig.h"
#include "tests/model/cases.h"
#include "tests/reference/objectives.h"

namespace tl {
namespace {

struct HeadsCase {
  DType compute;
  ObjectiveConfig objective;
};

class Heads : public testing::TestWithParam<HeadsCase> {
 protected:
  std::unique_ptr<LanguageModel> Make(const DecodeLimits& limits) {
    return MakeModel(DecodingModel(), GetParam().compute, limits, mesh_, 0.0, GetParam().objective);
  }
  std::unique_ptr<Communicator> world_ = MakeSelfCommunicator();
  Mesh mesh_ = Mesh::Create(*world_, 1).value();
};
INSTANTIATE_TEST_SUITE_P(Kinds, Heads,
                         testing::Values(HeadsCase{DType::kF32, MedusaHeads()},
                                         HeadsCase{DType::kBF16, MedusaHeads()},
                                         HeadsCase{DType::kF32, IndependentHeadsConfig()},
                                         HeadsCase{DType::kBF16, IndependentHeadsConfig()}),
                         [](const auto& info) {
                           return info.param.objective.name + "_" +
                                  std::string(Name(info.param.compute));
                         });

// The first rows at once, the others one by one.
TEST_P(Heads, LogitsAreThoseOfTheWholeModel) {
  const auto& [compute, objective] = GetParam();
  const ModelConfig config = DecodingModel();
  constexpr int64_t kLength = 24, kRead = 15;
  const reference::Params params = RandomParams(config, compute, objective);
  const auto model =
      MakeModel(config, compute, {.sequences = 1, .context = kLength}, mesh_, 0.0, objective);
  SetWeights(*model, params);
  const HostBatch batch =
      RandomBatch({.count = 1, .length = kLength, .vocab = config.vocab, .lookahead = 4});
  const reference::ObjectiveOptions options{
      .model = config, .objective = objective, .weights = {1, 1, 1, 1}};
  reference::internal::ObjectivePass twin(options, params, batch);
  twin.Forward();
  ASSERT_EQ(HeadsThatDraft(*model), 3);
  for (int64_t at = 0; at < kLength;) {
    DecodeBatch rows;
    const int64_t begin = at, count = at == 0 ? kRead : 1;
    for (; at < begin + count; ++at) rows.AddNext(batch.inputs[static_cast<size_t>(at)], at, 0);
    model->Run(rows, {}, nullptr);
    for (int head = 1; head <= 3; ++head) {
      RowLogits logits;
      model->RunHead(head, rows, 0, count, 0, &logits);
      ASSERT_EQ(logits.rows, count);
      ASSERT_EQ(logits.width, config.vocab);
      double error = 0.0, size = 0.0;
      for (int64_t i = 0; i < count * config.vocab; ++i) {
        const double exact =
            twin.logits[static_cast<size_t>(head)].z[static_cast<size_t>(begin * config.vocab + i)];
        const double found = logits[i / config.vocab].values[static_cast<size_t>(i % config.vocab)];
        error += (found - exact) * (found - exact);
        size += exact * exact;
      }
      ASSERT_LT(std::sqrt(error / size), compute == DType::kF32 ? 1e-5 : 0.05)
          << "head " << head << " at " << begin;
    }
  }
}

TEST_P(Heads, WriteThePlainText) {
  const auto model = Make({.sequences = 4, .context = 30, .drafts = 112});
  const auto prompts = Prompts(7, model->vocab());
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 0.0}, SamplingOptions{.temperature = 0.7, .top_p = 0.9}}) {
    const auto cases = HeadsCases(sampling, {1, 4});
    const DecodeRun plain = Decode(*model, nullptr, cases[0], prompts);
    int64_t taken = 0, refused = 0;
    for (const DecodeCase& c : cases) {
      const DecodeRun run = Decode(*model, nullptr, c, prompts);
      EXPECT_EQ(run.texts, plain.texts)
          << "x" << c.batch << " T " << sampling.temperature << " tree of " << c.drafter.tree.size()
          << " drafts " << c.drafter.drafts;
      taken += run.stats.tokens - run.stats.sequence_passes;
      refused += run.stats.drafted;
    }
    EXPECT_GT(taken, 50);
    EXPECT_GT(refused, taken);
  }
}

// Another drafter whose model reads every sequence anew: what heads keep of the past is right
// however it came about, with trees whose accepted rows have moved and contexts read again.
class Compared : public Drafter {
 public:
  Compared(const DrafterOptions& options, LanguageModel& model, LanguageModel& fresh)
      : options_(options), drafter_(options, model), fresh_(fresh) {}
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override {
    std::vector<DraftTree> trees = drafter_.Propose(requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      Sequence sequence = *requests[i].sequence;
      const auto tokens = absl::MakeConstSpan(sequence.tokens)
                              .subspan(static_cast<size_t>(sequence.start),
                                       static_cast<size_t>(sequence.position()));
      sequence.slot = 0;
      fresh_.Prefill(tokens, 0, 0);
      const DraftRequest request{&sequence, requests[i].depth};
      EXPECT_EQ(HeadsDrafter(options_, fresh_).Propose({request})[0].tokens, trees[i].tokens);
      ++compared;
    }
    return trees;
  }

  int compared = 0;

 private:
  DrafterOptions options_;
  HeadsDrafter drafter_;
  LanguageModel& fresh_;
};

TEST_P(Heads, KeepWhatTheyHaveRead) {
  const DecodeLimits limits{.sequences = 3, .context = 30, .drafts = 112};
  const auto model = Make(limits), fresh = Make(limits);
  const auto prompts = Prompts(4, model->vocab());
  DrafterOptions options{.kind = "heads", .tree = TreeShape::Parse("16x3x1").value()};
  options.sampling.temperature = 0.0;
  Compared drafter(options, *model, *fresh);
  Decoder decoder(*model, &drafter, {.sampling = options.sampling, .max_tokens = 40});
  ContinueAll(prompts, 3, {.max_tokens = 40, .decode = [](int32_t) { return std::string("x"); }},
              decoder);
  EXPECT_GT(drafter.compared, 50);
  EXPECT_GT(decoder.stats().tau(), 1.05);
}

// Typical acceptance takes drafts that the model finds likely; at temperature 0 these are its own.
TEST_P(Heads, TypicalAcceptanceIsGreedyAtZeroAndTakesMoreAbove) {
  const auto model = Make({.sequences = 2, .context = 48, .drafts = 112});
  const auto prompts = Prompts(4, model->vocab());
  DecodeCase c{.drafter = {.kind = "none"}, .batch = 2};
  c.drafter.sampling.temperature = 0.0;
  const DecodeRun plain = Decode(*model, nullptr, c, prompts);
  c.drafter.kind = "heads";
  c.drafter.tree = TreeShape::Parse("16x3x1").value();
  c.drafter.verification = Verification::kTypical;
  EXPECT_EQ(Decode(*model, nullptr, c, prompts).texts, plain.texts);
  c.drafter.sampling.temperature = 1.0;
  const double typical = Decode(*model, nullptr, c, prompts).stats.tau();
  c.drafter.verification = Verification::kMatch;
  EXPECT_GT(typical, Decode(*model, nullptr, c, prompts).stats.tau());
}

TEST(HeadsDistribution, IsTheModels) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  for (const ObjectiveConfig& objective : {MedusaHeads(), IndependentHeadsConfig()}) {
    ModelDistribution distribution(mesh, objective);
    for (const ModelDistributionCase& c :
         HeadsDistributionCases({.temperature = 0.7, .top_p = 0.9})) {
      const ModelDistribution::Result result = distribution.Run(c.drafter, kFewDraws);
      EXPECT_LT(result.deviate, 4.5) << objective.name << " " << c.name;
      EXPECT_GT(result.tau, 1.02) << objective.name << " " << c.name;
    }
  }
}

TEST(HeadsDrafter, RefusesModelsWithoutHeads) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  const DecodeLimits limits{.sequences = 1, .context = 8, .drafts = 4};
  const auto plain = MakeModel(EightTokenModel(), DType::kF32, limits, mesh);
  const auto none = MakeDrafter({.kind = "heads"}, *plain, nullptr).status();
  EXPECT_NE(none.message().find("expected a model of independent_heads or medusa"),
            std::string::npos)
      << none.message();
  const auto medusa = MakeModel(EightTokenModel(), DType::kF32, limits, mesh, 0.0, MedusaHeads());
  const DrafterOptions deep{.kind = "heads", .tree = TreeShape::Parse("1x1x1x1").value()};
  const auto status = MakeDrafter(deep, *medusa, nullptr).status();
  EXPECT_NE(status.message().find("a tree of depth 4, but the model has 3 heads"),
            std::string::npos)
      << status.message();
}

}  // namespace
}  // namespace tl
