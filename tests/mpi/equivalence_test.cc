// SPDX-License-Identifier: Apache-2.0
// Every data x tensor layout trains the same model, takes the memory it should and sends the bytes
// it should. Makes the table of docs/results/equivalence.md in the build folder, and with
// TRUNKLINE_WRITE_DOCS=1 in docs/results/.
#include <cstdlib>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "grid_compare.h"
#include "grid_pictures.h"
#include "grid_table.h"
#include "objective/sequential_mtp.h"

namespace tl::test {
namespace {

const DataSource& Source() {
  static const std::unique_ptr<DataSource> source = MakeSource();
  return *source;
}

const std::vector<TensorRange>& AllRanges() {
  static const std::vector<TensorRange> ranges = RangesOf(SmallConfig());
  return ranges;
}

Config InPrecision(Precision precision, int64_t seed = 1) {
  Config config = SmallConfig();
  config.train.seed = seed;
  config.precision.compute = precision;
  config.precision.loss_scale = 1024.0;  // fixed; only for fp16
  return config;
}

// All layouts, trained once; the first is one rank, and those that differ in recompute alone follow
// one another.
const std::vector<Layout>& AllLayouts() {
  static const std::vector<Layout> layouts =
      Layouts(World().size(), {Recompute::kNone, Recompute::kSelective, Recompute::kFull});
  return layouts;
}

const std::vector<Outcome>& OutcomesIn(Precision precision) {
  static std::map<Precision, std::vector<Outcome>> all;
  std::vector<Outcome>& outcomes = all[precision];
  if (outcomes.empty()) outcomes = TrainAll(InPrecision(precision), AllLayouts(), Source());
  return outcomes;
}

GridTable& Table() {
  static GridTable table;
  return table;
}

TEST(Equivalence, Fp32) {
  const std::vector<Outcome>& outcomes = OutcomesIn(Precision::kFp32);
  const Outcome& one = outcomes[0];
  // There is something to learn, and it is learnt.
  EXPECT_LT(one.losses.back(), 0.6f * one.losses.front());
  for (size_t i = 0; i < outcomes.size() && World().rank() == 0; ++i) {
    SCOPED_TRACE(AllLayouts()[i].name());
    EXPECT_TRUE(Same(outcomes[i].initial, one.initial)) << "initial weights";
    const Distances d = Compare(one, outcomes[i], AllRanges());
    ExpectWithinFp32Bounds(d, AllRanges());
    Table().Add(Precision::kFp32, AllLayouts()[i], outcomes[i].sizes,
                {d.largest_loss, Worst(d.gradients, AllRanges()).distance,
                 Worst(d.weights, AllRanges()).distance});
  }
}

// Two layouts, any two, are no further apart than the precision is from fp32 on one rank. Their
// rounding errors are nearly independent, and independent errors of one size add to sqrt(2) of it:
// that is the bound for what is the mean of few roundings (losses, small tensors) and for weights,
// where AdamW makes whole steps of the noise of elements without a gradient.
void TestLowPrecision(Precision precision) {
  constexpr int64_t kSeeds = 3;
  const double independent = std::sqrt(2.0);
  std::vector<Layout> layouts;
  for (const Layout& layout : AllLayouts()) {
    if (layout.recompute == Recompute::kNone) layouts.push_back(layout);
  }
  std::vector<std::vector<Outcome>> runs;
  static std::vector<Outcome> exact;  // fp32 on one rank
  for (int64_t seed = 1; seed <= kSeeds; ++seed) {
    runs.push_back(TrainAll(InPrecision(precision, seed), layouts, Source()));
    if (std::ssize(exact) < seed)
      exact.push_back(TrainAll(InPrecision(Precision::kFp32, seed), {Layout{}}, Source())[0]);
  }
  if (World().rank() != 0) return;

  // Layout -1: fp32 on one rank.
  const auto distances = [&](int a, int b) {
    std::vector<Distances> each;
    for (int64_t s = 0; s < kSeeds; ++s)
      each.push_back(Compare(a < 0 ? exact[s] : runs[s][a], runs[s][b], AllRanges()));
    return Combine(each);
  };
  const Distances unit = distances(-1, 0);
  Table().SetUnit(precision, unit);
  for (size_t i = 0; i < layouts.size(); ++i) {
    for (int64_t s = 0; s < kSeeds; ++s) {
      EXPECT_EQ(runs[s][i].skipped, 0) << layouts[i].name();
      EXPECT_TRUE(Same(runs[s][i].initial, exact[s].initial)) << layouts[i].name();
    }
    for (size_t j = 0; j <= i; ++j) {
      SCOPED_TRACE(layouts[j].name() + " and " + layouts[i].name());
      const Distances d = distances(static_cast<int>(j), static_cast<int>(i));
      const WorstTensor gradient = Worst(d.gradients, AllRanges(), unit.gradients);
      EXPECT_LE(d.loss, independent * unit.loss);
      EXPECT_LE(d.gradient, unit.gradient);
      EXPECT_LE(gradient.distance, independent) << gradient.name;
      EXPECT_LE(d.weight, independent * unit.weight);
      if (j > 0) continue;
      Table().Add(precision, layouts[i], runs[0][i].sizes,
                  {d.loss / unit.loss, d.gradient / unit.gradient, gradient.distance,
                   d.weight / unit.weight});
    }
  }
}

TEST(Equivalence, Bf16) { TestLowPrecision(Precision::kBf16); }
TEST(Equivalence, Fp16) { TestLowPrecision(Precision::kFp16); }

void ExpectSameRun(const Outcome& a, const Outcome& b) {
  EXPECT_TRUE(Same(a.losses, b.losses));
  EXPECT_TRUE(Same(a.norms, b.norms));
  EXPECT_TRUE(Same(a.gradients, b.gradients));
  EXPECT_TRUE(Same(a.weights, b.weights));
  EXPECT_TRUE(Same(a.moments, b.moments));
}

// What is made again in the backward pass is what it was.
TEST(Equivalence, RecomputeChangesNoBit) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
    SCOPED_TRACE(Name(precision));
    const std::vector<Outcome> outcomes =
        precision == Precision::kFp32
            ? OutcomesIn(precision)
            : TrainAll(InPrecision(precision), AllLayouts(), Source(), /*steps=*/2);
    for (size_t i = 0, none = 0; i < outcomes.size(); ++i) {
      SCOPED_TRACE(AllLayouts()[i].name());
      if (AllLayouts()[i].recompute == Recompute::kNone) none = i;
      ExpectSameRun(outcomes[none], outcomes[i]);
    }
  }
}

TEST(Equivalence, SameLayoutTwiceIsTheSameToTheBit) {
  std::vector<Layout> layouts = Layouts(World().size(), {Recompute::kNone});
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
    const std::vector<Outcome> once =
        TrainAll(InPrecision(precision), layouts, Source(), /*steps=*/3);
    const std::vector<Outcome> twice =
        TrainAll(InPrecision(precision), layouts, Source(), /*steps=*/3);
    for (size_t i = 0; i < layouts.size(); ++i) {
      SCOPED_TRACE(std::string(Name(precision)) + " " + layouts[i].name());
      ExpectSameRun(once[i], twice[i]);
    }
  }
}

// The average of weights after the last step; none where none is kept.
std::vector<float> AverageOf(const Outcome& outcome) {
  const size_t size = outcome.weights.size();
  if (outcome.moments.size() <= 2 * size) return {};
  return {outcome.moments.begin() + 2 * size, outcome.moments.end()};
}

// Averages are as close as weights are.
void ExpectSameAverage(const Outcome& a, const Outcome& b, const std::vector<TensorRange>& ranges) {
  Outcome of_a = a, of_b = b;
  of_a.weights = AverageOf(a);
  of_b.weights = AverageOf(b);
  ASSERT_EQ(of_a.weights.size(), of_b.weights.size());
  if (of_a.weights.empty()) return;
  EXPECT_FALSE(Same(of_a.weights, a.weights)) << "the average is another";
  ExpectWithinFp32Bounds(Compare(of_a, of_b, ranges), ranges);
}

// All layouts of a variant of the model or of the data against one rank.
void TestVariant(const std::string& name, const Config& config, const DataSource& source,
                 const std::vector<Recompute>& recomputes = {Recompute::kNone},
                 const Outcome* reference = nullptr, int steps = kSteps) {
  const std::vector<TensorRange> ranges = RangesOf(config);
  const std::vector<Layout> layouts = Layouts(World().size(), recomputes);
  const std::vector<Outcome> outcomes = TrainAll(config, layouts, source, steps);
  Distances worst;
  double gradient = 0.0, weight = 0.0;
  for (size_t i = 0; i < layouts.size(); ++i) {
    SCOPED_TRACE(name + ", " + layouts[i].name());
    const Distances d =
        Compare(reference != nullptr ? *reference : outcomes[0], outcomes[i], ranges);
    ExpectWithinFp32Bounds(d, ranges);
    ExpectSameAverage(outcomes[0], outcomes[i], ranges);
    worst.largest_loss = std::max(worst.largest_loss, d.largest_loss);
    gradient = std::max(gradient, Worst(d.gradients, ranges).distance);
    weight = std::max(weight, Worst(d.weights, ranges).distance);
  }
  Table().AddVariant(name, static_cast<int>(layouts.size()), worst, gradient, weight);
}

TEST(EquivalenceOfVariants, UntiedBiasAndHeadNorms) {
  Config config = SmallConfig();
  config.model.tie_embeddings = false;
  config.model.qkv_bias = true;
  config.model.qk_norm = true;
  config.optimizer.ema = 0.6;
  TestVariant("untied embeddings, q/k/v bias, q/k norm", config, Source(),
              {Recompute::kNone, Recompute::kFull});
}

TEST(EquivalenceOfVariants, PackedDocuments) {
  Config config = SmallConfig();
  config.data.pack_documents = true;
  TestVariant("packed documents", config, *MakeSource(/*pack_documents=*/true));
}

// One key/value head, held by all tensor ranks; a window on what is attended to.
TEST(EquivalenceOfVariants, OneKeyValueHeadAndWindow) {
  Config config = SmallConfig();
  config.model.kv_heads = 1;
  config.model.sliding_window = 11;
  TestVariant("one key/value head, window of 11", config, Source());
}

TEST(EquivalenceOfVariants, MicroBatchesOfOne) {
  Config config = SmallConfig();
  config.train.micro_batch_size = 1;
  TestVariant("micro-batches of 1 against 2", config, Source(), {Recompute::kNone},
              &OutcomesIn(Precision::kFp32)[0]);
}

// The mask is a function of the sample, not of the rank that has it.
TEST(EquivalenceOfVariants, Dropout) {
  Config config = SmallConfig();
  config.train.hidden_dropout = 0.2;
  TestVariant("hidden dropout of 0.2", config, Source(), {Recompute::kNone, Recompute::kFull});
}

// A few steps, where each is the work of several.
constexpr int kFew = 6;

// Noise, labels and their hiding are functions of the sample, not of the rank that has it; nor do
// the modulations know which rows of a sample a rank has.
TEST(EquivalenceOfVariants, DenoisingWithClasses) {
  const Config config = ClassesConfig();
  TestVariant("denoising by EDM, 3 classes, labels hidden, average", config, Stripes(config.model),
              {Recompute::kNone, Recompute::kSelective, Recompute::kFull}, nullptr, kFew);
}

TEST(EquivalenceOfVariants, FlowMatching) {
  const Config config = FlowConfig();
  TestVariant("flow matching, q/k/v bias, q/k norm, dropout", config, Stripes(config.model),
              {Recompute::kNone}, nullptr, kFew);
}

Config WithObjective(const std::string& name, int64_t heads_or_depth) {
  Config config = SmallConfig();
  config.objective.name = name;
  config.objective.Set(name == "sequential_mtp" ? "depth" : "heads", heads_or_depth);
  return config;
}

void TestHeads(const std::string& name, const Config& config, const DataSource& source) {
  TestVariant(name, config, source, {Recompute::kNone}, nullptr, kFew);
}

TEST(EquivalenceOfVariants, IndependentHeads) {
  Config config = WithObjective("independent_heads", 3);
  config.data.pack_documents = true;
  TestHeads("3 independent heads, packed documents", config, *MakeSource(true));
}

TEST(EquivalenceOfVariants, SequentialMtp) {
  Config config = WithObjective("sequential_mtp", 2);
  config.objective.Set("share_weights", true);
  config.optimizer.ema = 0.3;
  config.train.hidden_dropout = 0.1;
  TestHeads("sequential MTP of depth 2, one module, dropout", config, Source());
}

TEST(EquivalenceOfVariants, SequentialMtpOnAFrozenTrunk) {
  Config config = WithObjective("sequential_mtp", 2);
  config.objective.Set("hidden", HiddenTap::kStream);
  config.objective.Set("freeze_trunk", true);
  config.run.init_from = "initial weights will do";
  TestHeads("2 modules on a frozen trunk's stream", config, Source());
}

TEST(EquivalenceOfVariants, Medusa) {
  Config config = WithObjective("medusa", 2);
  config.objective.Set("lr_scale", 2.0);
  TestHeads("2 Medusa heads, joint", config, Source());
}

TEST(EquivalenceOfVariants, MedusaOnAFrozenTrunk) {
  Config config = WithObjective("medusa", 2);
  config.objective.Set("freeze_trunk", true);
  config.run.init_from = "initial weights will do";
  TestHeads("2 Medusa heads on a frozen trunk", config, Source());
  config.objective.Set("distill", true);
  config.data.pack_documents = true;
  TestHeads("the same, taught by the trunk, packed documents", config, *MakeSource(true));
}

// Megatron-LM #7452 fed logits that were already gathered to the loss of a divided vocabulary:
// every rank counted all of it, and the loss came out log(ranks) too high. Untrained logits are
// close to zero, so that each head's loss here is log(vocabulary).
TEST(Regressions, MegatronLm7452CountedTheVocabularyOncePerRank) {
  for (Config config : {WithObjective("next_token", 0), WithObjective("independent_heads", 2)}) {
    config.train.z_loss = 0.0;
    const int heads = HeadCount(config.objective);
    const std::vector<Layout> layouts = Layouts(World().size(), {Recompute::kNone});
    const std::vector<Outcome> outcomes = TrainAll(config, layouts, Source(), /*steps=*/2);
    for (size_t i = 0; i < layouts.size() && World().rank() == 0; ++i) {
      EXPECT_NEAR(outcomes[i].losses[0] / heads, std::log(static_cast<double>(kVocab)), 0.1)
          << layouts[i].name() << ", " << heads << " heads";
    }
  }
}

TEST(Table, IsWritten) {
  if (World().rank() != 0) return;
  if (!Table().complete()) GTEST_SKIP() << "some of the tests did not run";
  const std::string name = World().size() == 4 ? "equivalence.md" : "equivalence_2_ranks.md";
  EXPECT_TRUE(Table().Write(absl::StrCat(TL_BINARY_DIR, "/", name)));
  if (World().size() == 4 && std::getenv("TRUNKLINE_WRITE_DOCS") != nullptr) {
    EXPECT_TRUE(Table().Write(TL_SOURCE_DIR "/docs/results/equivalence.md"));
  }
}

}  // namespace
}  // namespace tl::test
