// SPDX-License-Identifier: Apache-2.0
// Drafts by sequential modules: the text is plain decoding's; every draft is the one that the whole
// model's fp64 twin makes from the same tokens, so that what the modules keep is right after every
// rejection; and what is taken is what the twin would take.
#include "infer/mtp_drafter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/infer/model_distribution.h"
#include "tests/infer/mtp_rig.h"
#include "tests/reference/objectives.h"

namespace tl {
namespace {

class MtpDrafts : public testing::TestWithParam<MtpCase> {
 protected:
  std::unique_ptr<Communicator> world_ = MakeSelfCommunicator();
  Mesh mesh_ = Mesh::Create(*world_, 1).value();
  ModelConfig model_ = DecodingModel();
};
INSTANTIATE_TEST_SUITE_P(Objectives, MtpDrafts, testing::ValuesIn(MtpCases()),
                         [](const auto& info) { return info.param.name; });

// Short enough that the texts outgrow it and are read again.
constexpr DecodeLimits kMtpLimits{.sequences = 4, .context = 30, .drafts = 4};

TEST_P(MtpDrafts, KeepThePlainText) {
  const auto prompts = Prompts(7, model_.vocab);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = MakeMtpModel(model_, GetParam().objective, compute, kMtpLimits, mesh_);
    for (const double temperature : {0.0, 0.7}) {
      DecodeCase c{.drafter = {.kind = "none", .sampling = {.temperature = temperature}}};
      const DecodeRun plain = Decode(*model, nullptr, c, prompts);
      c.drafter.kind = "mtp";
      for (const int64_t batch : {1, 4}) {
        for (const int64_t drafts : {2, 4}) {
          const std::string what = std::string(Name(compute)) + " x" + std::to_string(batch) +
                                   " T " + std::to_string(temperature) + " drafts " +
                                   std::to_string(drafts);
          c.batch = batch;
          c.drafter.drafts = drafts;
          const DecodeRun run = Decode(*model, nullptr, c, prompts);
          EXPECT_EQ(run.texts, plain.texts) << what;
          const int64_t taken = run.stats.tokens - run.stats.sequence_passes;
          EXPECT_GT(taken, run.stats.drafted / 20) << what;
          EXPECT_LT(taken, run.stats.drafted) << what;
        }
      }
      // At temperature 0 every rule takes the likeliest token.
      c.drafter.verification = Verification::kRejection;
      if (temperature == 0.0) {
        EXPECT_EQ(Decode(*model, nullptr, c, prompts).texts, plain.texts);
      }
    }
  }
}

// Keeps what was drafted after what.
class Recorder : public Drafter {
 public:
  struct Proposal {
    std::vector<int32_t> text;  // that the model sees
    std::vector<int32_t> drafts;
  };
  explicit Recorder(Drafter& drafter) : drafter_(drafter) {}
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override {
    std::vector<DraftTree> trees = drafter_.Propose(requests);
    for (size_t i = 0; i < trees.size(); ++i) {
      const Sequence& s = *requests[i].sequence;
      proposals.push_back({{s.tokens.begin() + s.start, s.tokens.end()}, trees[i].tokens});
    }
    return trees;
  }
  std::vector<Proposal> proposals;

 private:
  Drafter& drafter_;
};

HostBatch BatchOf(const std::vector<int32_t>& tokens, int64_t lookahead) {
  const auto length = static_cast<int64_t>(tokens.size());
  HostBatch batch;
  batch.count = 1;
  batch.sequence_length = length;
  batch.lookahead = lookahead;
  batch.inputs = batch.tokens = tokens;
  batch.segments.assign(tokens.size(), 0);
  for (int64_t t = 0; t < length; ++t) batch.positions.push_back(static_cast<int32_t>(t));
  for (int64_t k = 1; k <= lookahead; ++k) {
    for (int64_t t = 0; t < length; ++t)
      batch.targets_storage.push_back(t + k < length ? tokens[static_cast<size_t>(t + k)] : -1);
  }
  return batch;
}

// The likeliest token after row `row` of a head's logits; `wanted` if it is as likely to rounding.
int32_t Greedy(const reference::Doubles& logits, size_t row, size_t vocab, int32_t wanted) {
  const auto begin = logits.begin() + static_cast<int64_t>(row * vocab);
  const auto best = std::max_element(begin, begin + static_cast<int64_t>(vocab));
  return *best - begin[wanted] < 1e-4 * std::abs(*best) ? wanted
                                                        : static_cast<int32_t>(best - begin);
}

TEST_P(MtpDrafts, AreThoseOfTheWholeModelAndSoIsTheirAcceptance) {
  const ObjectiveConfig& objective = GetParam().objective;
  const auto model = MakeMtpModel(model_, objective, DType::kF32, kMtpLimits, mesh_);
  const reference::Params params = MtpParams(model_, objective);
  const reference::ObjectiveOptions options{.model = model_, .objective = objective, .weights = {}};
  const SamplingOptions greedy{.temperature = 0.0};
  MtpDrafter drafter({.kind = "mtp", .sampling = greedy}, *model);
  Recorder recorder(drafter);
  Decoder decoder(*model, &recorder, {.sampling = greedy, .max_tokens = 40});
  ContinueAll(Prompts(5, model_.vocab), 3,
              {.max_tokens = 40, .decode = [](int32_t) { return std::string(); }}, decoder);

  const auto vocab = static_cast<size_t>(model_.vocab);
  const int64_t depth = HeadCount(objective) - 1;
  std::vector<int64_t> offered(static_cast<size_t>(depth)), taken = offered;
  for (const Recorder::Proposal& p : recorder.proposals) {
    std::vector<int32_t> tokens = p.text;
    tokens.insert(tokens.end(), p.drafts.begin(), p.drafts.end());
    const HostBatch batch = BatchOf(tokens, depth + 1);
    reference::internal::ObjectivePass twin(options, params, batch);
    twin.Forward();
    const size_t last = p.text.size() - 1;
    bool alive = true;
    for (size_t k = 1; k <= p.drafts.size(); ++k) {
      const int32_t draft = p.drafts[k - 1];
      ASSERT_EQ(Greedy(twin.logits[k].z, last - 1, vocab, draft), draft)
          << "draft " << k << " after " << p.text.size() << " tokens";
      alive = alive && Greedy(twin.logits[0].z, last + k - 1, vocab, draft) == draft;
      ++offered[k - 1];
      taken[k - 1] += alive ? 1 : 0;
    }
  }
  const DraftCounts& counts = decoder.stats().drafts;
  EXPECT_EQ(counts.offered, offered);
  EXPECT_EQ(counts.taken, taken);
  for (size_t k = 0; k < taken.size(); ++k) {
    EXPECT_GT(taken[k], 0) << k;
    EXPECT_LT(taken[k], offered[k]) << k;
  }
}

TEST(MtpDistribution, SampledDraftsKeepTheModels) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  ModelDistribution distribution(mesh, MtpObjective(2));
  const ModelDistribution::Result result =
      distribution.Run(MtpDistributionCases({.temperature = 1.0})[0].drafter, kFewDraws);
  EXPECT_LT(result.deviate, 4.5);
  EXPECT_GT(result.tau, 1.02);
}

TEST(MtpDrafter, IsOneOfThoseThatObjectivesName) {
  for (const ObjectiveDescriptor& objective : Objectives())
    EXPECT_TRUE(*objective.drafter == 0 || CheckDrafter(objective.drafter).ok()) << objective.name;
  EXPECT_EQ(ObjectivesThatDraft("mtp"), "sequential_mtp");
  EXPECT_EQ(ObjectivesThatDraft("heads"), "independent_heads or medusa");
}

TEST(MtpDrafter, NeedsModules) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  const auto model = MakeModel(DecodingModel(), DType::kF32, kMtpLimits, mesh);
  const auto made = MakeDrafter({.kind = "mtp"}, *model, nullptr);
  EXPECT_NE(made.status().message().find("--speculate mtp: expected a model of the objective "
                                         "sequential_mtp, found next_token"),
            std::string::npos)
      << made.status();
}

}  // namespace
}  // namespace tl
