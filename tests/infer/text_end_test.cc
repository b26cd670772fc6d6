// SPDX-License-Identifier: Apache-2.0
// What decoding counts stops where texts end: at an end token, a stop string or the last token that
// is asked for.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/infer/model_rig.h"
#include "tests/kernels/test_device.h"

namespace tl {
namespace {

constexpr DecodeLimits kTextEndLimits{.sequences = 4, .context = 48, .drafts = 112};
constexpr int64_t kTokens = 30;

std::string Word(int32_t id) { return std::to_string(id) + " "; }

// Another drafter whose drafts are counted.
class Counted : public Drafter {
 public:
  explicit Counted(Drafter* drafter) : drafter_(drafter) {}
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override {
    std::vector<DraftTree> trees = drafter_->Propose(requests);
    for (const DraftTree& tree : trees) proposed += tree.size();
    return trees;
  }
  DecodePart Resume() override { return drafter_->Resume(); }

  int64_t proposed = 0;

 private:
  Drafter* drafter_;
};

class TextEnd : public testing::Test {
 protected:
  struct Run {
    std::vector<Continuation> texts;
    DecodeStats stats;
    int64_t proposed = 0;
  };
  // drafter: null where c names one.
  Run Go(const DecodeCase& c, const std::vector<int32_t>& ends,
         const std::vector<std::string>& stops, Drafter* drafter = nullptr) {
    std::unique_ptr<Drafter> made;
    if (drafter == nullptr) {
      made = MakeDrafter(c.drafter, *model_, draft_model_.get()).value();
      drafter = made.get();
    }
    Counted counted(drafter);
    Decoder decoder(*model_, drafter != nullptr ? &counted : nullptr,
                    {.sampling = c.drafter.sampling,
                     .seed = c.drafter.seed,
                     .max_tokens = kTokens,
                     .verification = c.drafter.verification});
    Run run;
    run.texts =
        ContinueAll(prompts_, c.batch,
                    {.max_tokens = kTokens, .ends = ends, .stops = stops, .decode = Word}, decoder);
    run.stats = decoder.stats();
    run.proposed = counted.proposed;
    return run;
  }

  std::unique_ptr<Communicator> world_ = MakeSelfCommunicator();
  Mesh mesh_ = Mesh::Create(*world_, 1, {.device = TestDevice()}).value();
  std::unique_ptr<LanguageModel> model_ =
      MakeModel(DecodingModel(), DType::kF32, kTextEndLimits, mesh_, 0.0, MedusaHeads());
  std::unique_ptr<LanguageModel> draft_model_ =
      MakeModel(DecodingModel(), DType::kF32, {.sequences = 4, .context = 48}, mesh_, 0.1);
  std::vector<std::vector<int32_t>> prompts_ = Prompts(6, DecodingModel().vocab);
};

// Drafts what the model itself would write without an end.
class Oracle : public Drafter {
 public:
  Oracle(std::vector<std::vector<int32_t>> texts, int drafts)
      : texts_(std::move(texts)), drafts_(drafts) {}
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override {
    std::vector<DraftTree> trees;
    for (const DraftRequest& request : requests) {
      const std::vector<int32_t>& text = texts_[static_cast<size_t>(request.sequence->id)];
      DraftTree& tree = trees.emplace_back();
      for (int64_t k = 0; k < std::min<int64_t>(drafts_, request.depth); ++k)
        tree.Add(text[static_cast<size_t>(request.sequence->size() + k)], tree.size() - 1);
    }
    return trees;
  }

 private:
  std::vector<std::vector<int32_t>> texts_;
  int drafts_;
};

// With drafts that are all right, every figure follows from the lengths of the texts.
TEST_F(TextEnd, RightDraftsCountUpToIt) {
  constexpr int64_t kDrafts = 4, kPass = kDrafts + 1;
  const DecodeCase greedy{.drafter = {.kind = "none", .sampling = {.temperature = 0.0}},
                          .batch = 2};
  std::vector<std::vector<int32_t>> whole;
  for (const Continuation& text : Go(greedy, {}, {}).texts) whole.push_back(text.sequence.tokens);
  Oracle oracle(whole, kDrafts);
  const auto end_of = [&](size_t p, int64_t i) {
    return whole[p][prompts_[p].size() + static_cast<size_t>(i)];
  };
  for (int64_t place = 0; place < 2 * kPass; ++place) {
    for (const bool by_string : {false, true}) {
      const int32_t end = end_of(1, place);
      const Run run =
          by_string ? Go(greedy, {}, {" " + Word(end)}, &oracle) : Go(greedy, {end}, {}, &oracle);
      int64_t tokens = 0, passes = 0, drafted = 0;
      std::vector<int64_t> taken(kDrafts);
      for (const Continuation& text : run.texts) {
        const auto length = static_cast<int64_t>(text.tokens().size());
        tokens += length;
        passes += (length + kPass - 1) / kPass;
        EXPECT_EQ(text.passes, (length + kPass - 1) / kPass);
        for (int64_t left = length; left > 0; left -= kPass) {
          // The last token that was asked for is none of the drafts.
          const int64_t most = text.stop == FinishReason::kLength ? left - 1 : left;
          const int64_t drafts = std::min(kDrafts, most);
          drafted += drafts;
          for (int64_t depth = 0; depth < drafts; ++depth) ++taken[static_cast<size_t>(depth)];
        }
        EXPECT_EQ(text.drafted, text.accepted);
      }
      EXPECT_EQ(run.stats.tokens, tokens);
      EXPECT_EQ(run.stats.sequence_passes, passes);
      EXPECT_EQ(run.stats.drafted, drafted) << place;
      while (!taken.empty() && taken.back() == 0) taken.pop_back();
      EXPECT_EQ(run.stats.drafts.offered, taken);
      EXPECT_EQ(run.stats.drafts.tried, taken);
      EXPECT_EQ(run.stats.drafts.taken, taken);
      EXPECT_DOUBLE_EQ(run.stats.tau(), static_cast<double>(tokens) / static_cast<double>(passes));
    }
  }
}

// Whoever drafts, by whichever rule: the figures are those of the texts.
TEST_F(TextEnd, EveryDrafterCountsUpToIt) {
  std::vector<DecodeCase> cases;
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 0.0}, SamplingOptions{.temperature = 0.8}}) {
    for (const DecodeCase& c : MatchCases(sampling, {1, 4})) cases.push_back(c);
    for (const DecodeCase& c : HeadsCases(sampling, {4})) cases.push_back(c);
    DecodeCase typical = HeadsCases(sampling, {4}).back();
    typical.drafter.verification = Verification::kTypical;
    cases.push_back(typical);
    if (sampling.temperature == 0.0) continue;
    for (DecodeCase c : MatchCases(sampling, {1, 4})) {
      if (c.drafter.kind != "draft-model" && c.drafter.kind != "early-exit") continue;
      c.drafter.verification = Verification::kRejection;
      cases.push_back(c);
    }
  }
  int64_t ended_by_draft = 0, ended_early = 0, behind = 0;
  for (const DecodeCase& c : cases) {
    const Run whole = Go(c, {}, {});
    EXPECT_EQ(whole.stats.drafted, whole.proposed) << "refused ones count too";
    const int32_t end = whole.texts[3].tokens()[kTokens / 2];
    for (const bool by_string : {false, true}) {
      const Run run = by_string ? Go(c, {}, {" " + Word(end)}) : Go(c, {end}, {});
      int64_t tokens = 0, passes = 0, drafted = 0, accepted = 0;
      for (const Continuation& text : run.texts) {
        const auto length = static_cast<int64_t>(text.tokens().size());
        tokens += length;
        passes += text.passes;
        drafted += text.drafted;
        accepted += text.accepted;
        const int64_t by_draft = text.passes + text.accepted - length;
        EXPECT_GE(by_draft, 0);
        EXPECT_LE(by_draft, text.stop == FinishReason::kLength ? 0 : 1);
        EXPECT_LE(length, kTokens);
        ended_by_draft += by_draft;
        ended_early += text.stop == FinishReason::kLength ? 0 : 1;
      }
      const DecodeStats& stats = run.stats;
      const std::string what = c.drafter.kind + " " + Name(c.drafter.verification);
      EXPECT_EQ(stats.tokens, tokens) << what;
      EXPECT_EQ(stats.sequence_passes, passes) << what;
      EXPECT_EQ(stats.drafted, drafted) << what;
      EXPECT_LE(drafted, run.proposed) << what;
      behind += run.proposed - drafted;
      EXPECT_EQ(std::accumulate(stats.drafts.taken.begin(), stats.drafts.taken.end(), int64_t{0}),
                accepted)
          << what;
      if (c.drafter.kind == "none") {
        EXPECT_EQ(stats.tau(), 1.0);
      }
    }
  }
  EXPECT_GT(ended_early, 100);
  EXPECT_GT(behind, 100);
  EXPECT_GT(ended_by_draft, 20) << "the cases end where nothing was drafted";
}

}  // namespace
}  // namespace tl
