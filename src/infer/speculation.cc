// SPDX-License-Identifier: Apache-2.0
#include "infer/speculation.h"

#include <omp.h>
#include <unistd.h>

#include <cctype>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "checkpoint/health.h"
#include "config/config.h"
#include "infer/calibration.h"
#include "infer/generate.h"

namespace tl {
namespace {

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// Drafts of these are drawn from a distribution of their own, where anything is drawn.
bool DraftsBySampling(const Speculation& chosen) {
  return chosen.kind == "draft-model" || chosen.kind == "early-exit" || chosen.kind == "mtp" ||
         (chosen.kind == "heads" && chosen.tree.empty());
}

absl::StatusOr<Verification> ChooseVerification(const GenerateOptions& options,
                                                const Speculation& chosen) {
  const bool sampled = DraftsBySampling(chosen) && options.sampling.temperature > 0.0;
  if (options.verify.empty()) return sampled ? Verification::kRejection : Verification::kMatch;
  TL_ASSIGN_OR_RETURN(const Verification verification, VerificationNamed(options.verify));
  if (verification == Verification::kRejection && !DraftsBySampling(chosen))
    return absl::InvalidArgumentError(absl::StrCat(
        "--verify rejection needs drafts that are sampled, by draft-model, early-exit, "
        "mtp or a chain of heads; ",
        chosen.kind, chosen.tree.empty() ? "" : " in a tree",
        " drafts are as well off with match"));
  return verification;
}

// How what the calibration holds for differs from what is about to run; empty where it does not.
std::string Differences(const Calibration& c, const Config& config, const std::string& run_dir) {
  const std::string save = FirstChoice(CheckpointFolder(config, run_dir));
  std::string text;
  const auto differ = [&](const std::string& what, const auto& then, const auto& now) {
    if (then != now)
      absl::StrAppend(&text, text.empty() ? "" : ", ", what, " ", then, " instead of ", now);
  };
  differ("checkpoint", c.checkpoint, save);
  differ("precision", c.compute, std::string(Name(config.precision.compute)));
  differ("tensor ranks", c.tensor, config.parallel.tensor);
  differ("threads", c.threads, static_cast<int64_t>(omp_get_max_threads()));
  return text.empty() ? "" : absl::StrCat("; it was calibrated with ", text);
}

absl::Status ChooseFastest(const Calibration& c, const std::string& path, Speculation* chosen) {
  const DrafterTrial& plain = *c.Find("none", false);
  const DrafterTrial& fastest = c.Fastest();
  TL_RETURN_IF_ERROR(CheckDrafter(fastest.drafter));
  chosen->kind = fastest.drafter;
  chosen->drafts = fastest.drafts;
  if (fastest.tree) chosen->tree = c.tree;
  const DrafterTrial* second = &plain;
  for (const DrafterTrial& trial : c.trials) {
    const bool other = trial.drafter != "none" && !(trial == fastest);
    if (other && (second == &plain || trial.tokens_per_second > second->tokens_per_second))
      second = &trial;
  }
  chosen->told = absl::StrCat("--speculate auto: ", Describe(fastest, plain.tokens_per_second));
  if (fastest.drafter == "none") {
    absl::StrAppend(&chosen->told, ", no drafter was faster");
    if (second != &plain)
      absl::StrAppend(&chosen->told, " (", Describe(*second, plain.tokens_per_second), ")");
  } else if (second != &plain) {
    absl::StrAppend(&chosen->told, ", ahead of ", Describe(*second, plain.tokens_per_second));
  }
  absl::StrAppend(&chosen->told, "; greedy, by ", path);
  return absl::OkStatus();
}

// A tree of a calibration file, which must have one.
absl::Status TakeTree(const Calibration& c, const std::string& path, Speculation* chosen) {
  if (c.tree.empty())
    return absl::InvalidArgumentError(
        absl::StrCat("--tree ", path,
                     ": it has no tree, for plain decoding was expected to be faster; calibrate "
                     "--nodes makes one of any size"));
  chosen->tree = c.tree;
  return absl::OkStatus();
}

absl::Status ChooseTree(const GenerateOptions& options, Speculation* chosen) {
  if (options.tree == "chain") return absl::OkStatus();
  const bool product = !options.tree.empty() &&
                       std::isdigit(static_cast<unsigned char>(options.tree[0])) != 0 &&
                       options.tree.find_first_not_of("0123456789x") == std::string::npos;
  if (!product) {
    auto calibration = ReadCalibration(options.tree);
    if (!calibration.ok())
      return absl::InvalidArgumentError(
          absl::StrCat("--tree: expected chain, numbers as 4x2x1 or a calibration; ",
                       calibration.status().message()));
    return TakeTree(*calibration, options.tree, chosen);
  }
  const auto shape = TreeShape::Parse(options.tree);
  if (!shape.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("--tree ", options.tree, ": ", shape.status().message()));
  chosen->tree = *shape;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Speculation> ChooseSpeculation(const GenerateOptions& options, const Config& config,
                                              const std::string& run_dir) {
  Speculation chosen{.kind = options.speculate, .drafts = options.drafts};
  const std::string path = CalibrationPath(run_dir);
  const bool wanted = options.speculate == "auto" ||
                      (options.speculate == "heads" && options.tree.empty() && Exists(path));
  std::optional<Calibration> calibration;
  if (wanted) {
    if (!Exists(path))
      return absl::NotFoundError(absl::StrCat("--speculate auto: there is no ", path,
                                              "; trunkline calibrate ", run_dir, " writes it"));
    TL_ASSIGN_OR_RETURN(calibration, ReadCalibration(path));
  }
  if (options.speculate == "auto") {
    TL_RETURN_IF_ERROR(ChooseFastest(*calibration, path, &chosen));
  } else if (options.speculate == "heads" && calibration && !calibration->tree.empty()) {
    chosen.tree = calibration->tree;
    chosen.told =
        absl::StrFormat("--speculate heads: a tree of %d nodes, by %s", chosen.tree.size(), path);
  } else if (!options.tree.empty()) {
    TL_RETURN_IF_ERROR(ChooseTree(options, &chosen));
  }
  if (!chosen.tree.empty()) chosen.drafts = chosen.tree.size();
  if (chosen.kind == "none") chosen.drafts = 0;
  if (calibration) {
    const DrafterTrial* trial = calibration->Find(chosen.kind, !chosen.tree.empty());
    if (trial != nullptr)
      chosen.calibrated_speedup =
          trial->tokens_per_second / calibration->Find("none", false)->tokens_per_second;
    if (!chosen.told.empty())
      absl::StrAppend(&chosen.told, Differences(*calibration, config, run_dir));
  }
  TL_ASSIGN_OR_RETURN(chosen.verification, ChooseVerification(options, chosen));
  return chosen;
}

}  // namespace tl
