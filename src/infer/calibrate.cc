// SPDX-License-Identifier: Apache-2.0
#include "infer/calibrate.h"

#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "checkpoint/health.h"
#include "checkpoint/inputs.h"
#include "config/config.h"
#include "data/blend.h"
#include "engine/placement.h"
#include "infer/calibration.h"
#include "infer/continuous_batching.h"
#include "infer/heads_drafter.h"
#include "infer/rank_statistics.h"
#include "objective/acceptance.h"

namespace tl {
namespace {

constexpr int kRanks = 10;           // of each head's tokens
constexpr int64_t kMostTokens = 64;  // in one pass
constexpr SamplingOptions kGreedy = {.temperature = 0.0};

constexpr int64_t kTrialPrompts = 4, kTrialTokens = 96;
constexpr int kTrialRounds = 2;

// A trial and the drafter it is made with.
struct Candidate {
  DrafterTrial trial;
  DrafterOptions options;
};

std::vector<Candidate> Candidates(LanguageModel& model, const TreeShape& tree) {
  std::vector<Candidate> all;
  const auto add = [&](DrafterOptions options, int64_t drafts) {
    options.sampling = kGreedy;
    options.drafts = drafts;
    // What the model has not got the heads or the layers for, or needs a second model.
    if (!MakeDrafter(options, model, nullptr).ok()) return;
    all.push_back(
        {{.drafter = options.kind, .tree = !options.tree.empty(), .drafts = drafts}, options});
  };
  for (const std::string& kind : DrafterKinds()) {
    const bool heads = kind == "heads";
    add({.kind = kind}, kind == "none" ? 0
                        : heads        ? HeadsThatDraft(model)
                                       : DrafterOptions().drafts);
    if (heads && !tree.empty()) add({.kind = kind, .tree = tree}, tree.size());
  }
  return all;
}

// Beginnings of the text to go on with, evenly spread.
absl::StatusOr<std::vector<std::vector<int32_t>>> TrialPrompts(const DataSource& text,
                                                               int64_t context) {
  std::vector<std::vector<int32_t>> prompts;
  const int64_t windows = text.SampleCount(context);
  HostBatch batch;
  for (int64_t i = 0; i < kTrialPrompts; ++i) {
    TL_RETURN_IF_ERROR(text.FillBatch(i * windows / kTrialPrompts, 1, context, 1, &batch));
    const int64_t length = std::max<int64_t>(1, std::min<int64_t>(64, context / 4));
    prompts.emplace_back(batch.inputs.begin(), batch.inputs.begin() + length);
  }
  return prompts;
}

std::vector<DrafterTrial> RunTrials(LanguageModel& model, std::vector<Candidate> candidates,
                                    const std::vector<std::vector<int32_t>>& prompts) {
  const int64_t room = model.limits().context - static_cast<int64_t>(prompts[0].size());
  const ContinueOptions how{.max_tokens = std::max<int64_t>(1, std::min(kTrialTokens, room)),
                            .decode = [](int32_t) { return std::string(); }};
  std::vector<DecodeStats> stats(candidates.size());
  ProgressBar bar("try drafters", kTrialRounds * static_cast<int64_t>(candidates.size()),
                  ProgressUnit::kCount);
  // In turns, so that what else the machine does meets all.
  for (int round = 0; round < kTrialRounds; ++round) {
    for (size_t i = 0; i < candidates.size(); ++i) {
      const auto drafter = *MakeDrafter(candidates[i].options, model, nullptr);
      Decoder decoder(model, drafter.get(), {.sampling = kGreedy, .max_tokens = how.max_tokens});
      ContinueAll(prompts, 1, how, decoder);
      const bool faster = decoder.stats().tokens_per_second() > stats[i].tokens_per_second();
      if (faster) stats[i] = decoder.stats();
      bar.Add();
    }
  }
  std::vector<DrafterTrial> trials;
  for (size_t i = 0; i < candidates.size(); ++i) {
    DrafterTrial trial = candidates[i].trial;
    trial.tau = stats[i].tau();
    trial.tokens_per_second = stats[i].tokens_per_second();
    trials.push_back(trial);
  }
  return trials;
}

void GrowFastestTree(const RankStatistics& statistics, int64_t nodes, int64_t most_nodes,
                     Calibration* c) {
  const int64_t limit = nodes > 0 ? nodes : most_nodes;
  const TreeShape whole = GrowTree(
      static_cast<int>(limit), statistics.heads(), statistics.ranks(),
      [&](const RankPath& path) { return statistics.PathChance(path); }, &c->values);
  std::vector<int> depths;
  for (int node = 0; node < whole.size(); ++node) depths.push_back(whole.Depth(node));
  const int best = nodes > 0 ? whole.size() : BestBudget(c->values, depths, c->costs);
  c->tree = whole.First(best);
  c->values.resize(static_cast<size_t>(best));
  c->predicted_tau = std::accumulate(c->values.begin(), c->values.end(), 1.0);
  c->predicted_speedup = PredictedSpeed(c->values, depths, c->costs, best) * c->costs.verify[0];
}

void Print(const Calibration& c, const std::string& path) {
  std::string text;
  if (!c.heads.empty()) {
    absl::StrAppendFormat(&text, "acceptance on %d tokens, given what is above it:\n%8s %9s",
                          c.tokens, "", "places");
    for (int rank = 1; rank <= 5; ++rank)
      absl::StrAppendFormat(&text, " %6s", absl::StrCat("#", rank));
    absl::StrAppend(&text, "   along #1\n");
    std::vector<double> chain;
    for (size_t k = 0; k < c.heads.size(); ++k) {
      const Calibration::Head& head = c.heads[k];
      absl::StrAppendFormat(&text, "  head %d %9d", k + 1, head.reached);
      for (size_t rank = 0; rank < 5; ++rank)
        absl::StrAppendFormat(&text, " %6.4f", head.by_rank[rank]);
      absl::StrAppendFormat(&text, "     %.4f\n", head.chain_alpha);
      chain.push_back(head.chain_alpha);
    }
    absl::StrAppendFormat(&text, "a chain of all heads: tau %.3f expected\n",
                          AcceptedLength(chain));
  }
  absl::StrAppend(&text, "tokens in a pass, ms:");
  for (size_t n = 1; n <= c.costs.verify.size(); n *= 2)
    absl::StrAppendFormat(&text, "  %d: %.2f", n, 1e3 * c.costs.verify[n - 1]);
  absl::StrAppend(&text, "\n");
  if (!c.heads.empty()) {
    absl::StrAppendFormat(&text, "drafting with all heads: %.2f ms\n", 1e3 * c.costs.draft.back());
    absl::StrAppendFormat(
        &text, "best tree: %d nodes, %d deep, tau %.3f and %.2fx plain decoding expected\n",
        c.tree.size(), c.tree.depth(), c.predicted_tau, c.predicted_speedup);
  }
  absl::StrAppend(&text, "greedy decoding of held-out text:\n");
  const double plain = c.Find("none", false)->tokens_per_second;
  for (const DrafterTrial& trial : c.trials)
    absl::StrAppend(&text, "  ", Describe(trial, plain), "\n");
  absl::StrAppend(&text, "fastest: ", Describe(c.Fastest(), plain), "\nwritten to ", path, "\n");
  std::fputs(text.c_str(), stdout);
}

}  // namespace

absl::Status Calibrate(const CalibrateOptions& options, const Config& config, Communicator& world) {
  const std::string path = options.out.empty() ? CalibrationPath(options.run_dir) : options.out;
  // Before the work whose result goes there.
  TL_RETURN_IF_ERROR(AgreeOnStatus(
      world, world.rank() == 0
                 ? CheckReplaceable(path, IsCalibration, "a calibration", options.data)
                 : absl::OkStatus()));
  const std::string folder = CheckpointFolder(config, options.run_dir);
  std::vector<WeightedPath> paths;
  for (const std::string& path : options.data) paths.push_back({path});
  TL_RETURN_IF_ERROR(CheckEvalInputs(paths.empty() ? "data.eval" : "--data",
                                     paths.empty() ? config.data.eval : paths, config, folder,
                                     world));
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(config, world));
  BlendOptions blend{.files = {}, .vocab = config.model.vocab};
  for (const std::string& path : options.data) blend.files.push_back({path, 1.0});
  if (blend.files.empty()) {
    for (const WeightedPath& path : config.data.eval) blend.files.push_back({path.path, 1.0});
  }
  const auto text = OpenSequential(blend);
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, text.status()));
  const int64_t context = config.train.sequence_length;
  const int64_t most_tokens = std::max(kMostTokens, options.nodes + 1);
  TL_ASSIGN_OR_RETURN(
      const auto model,
      LanguageModel::Load(options.run_dir, config,
                          {.sequences = 1, .context = context, .drafts = most_tokens - 1},
                          options.weights, mesh));
  Calibration c{.checkpoint = FirstChoice(folder),
                .compute = Name(config.precision.compute),
                .tensor = mesh.tensor_size(),
                .threads = omp_get_max_threads()};
  const int heads = HeadsThatDraft(*model);
  RankStatistics statistics(heads, kRanks);
  TL_RETURN_IF_ERROR(
      AgreeOnStatus(world, MeasureRanks(*model, **text, options.tokens, &statistics)));
  c.costs = MeasurePassCosts(*model, heads, context / 2, most_tokens);
  if (heads > 0) {
    GrowFastestTree(statistics, options.nodes, most_tokens - 1, &c);
    c.tokens = statistics.places();
    for (int head = 1; head <= heads; ++head) {
      c.heads.push_back({.reached = statistics.Reached(head),
                         .by_rank = {},
                         .chain_alpha = statistics.ChainAlpha(head)});
      for (int rank = 0; rank < kRanks; ++rank)
        c.heads.back().by_rank.push_back(statistics.Chance(head, rank));
    }
  }
  TL_ASSIGN_OR_RETURN(const auto prompts, TrialPrompts(**text, context));
  c.trials = RunTrials(*model, Candidates(*model, c.tree), prompts);
  absl::Status written;
  if (world.rank() == 0) written = ReplaceFile(path, WriteCalibration(c));
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, written));
  if (world.rank() == 0) Print(c, path);
  return absl::OkStatus();
}

}  // namespace tl
