#include "train/evaluate.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numbers>

#include "absl/strings/str_format.h"
#include "base/logging.h"
#include "base/status.h"
#include "checkpoint/inputs.h"
#include "data/blend.h"
#include "engine/placement.h"
#include "train/plan_check.h"
#include "train/stepper.h"

namespace tl {
namespace {

// "-" where nothing was counted.
std::string Number(double value, int digits, bool counted) {
  if (!counted) return "-";
  return std::isnan(value) ? "nan" : absl::StrFormat("%.*f", digits, value);
}

// A table with a line per head, and the expected length of accepted drafts.
void PrintHeads(const std::vector<HeadResult>& heads) {
  std::printf(
      "%-12s %9s %7s %7s   %s\n", "head", "loss", "top-1", "top-5",
      heads.size() > 1 ? "acceptance of tokens reached   agreement of tokens compared" : "");
  for (size_t i = 0; i < heads.size(); ++i) {
    const HeadResult& h = heads[i];
    const bool counted = h.targets > 0;
    std::printf("%-12s %9s %7s %7s", h.name.c_str(), Number(h.loss, 5, counted).c_str(),
                Number(h.top1, 4, counted).c_str(), Number(h.top5, 4, counted).c_str());
    if (i > 0) {
      std::printf("   %10s of %-16lld %9s of %lld", Number(h.alpha, 4, h.reached > 0).c_str(),
                  static_cast<long long>(h.reached), Number(h.agreement, 4, h.compared > 0).c_str(),
                  static_cast<long long>(h.compared));
    }
    std::printf("\n");
  }
  if (heads.size() > 1)
    std::printf("expected accepted length (tau) %.4f tokens per step\n", AcceptedLength(heads));
}

}  // namespace

absl::Status Evaluate(const EvalOptions& options, const Config& run_config, Communicator& world) {
  BlendOptions blend{.files = {},
                     .vocab = run_config.model.vocab,
                     .pack_documents = run_config.data.pack_documents};
  for (const WeightedPath& path : options.data.empty() ? run_config.data.eval : options.data)
    blend.files.push_back({path.path, 1.0});
  if (blend.files.empty())
    return absl::InvalidArgumentError(options.run_dir +
                                      ": its config has no [data] eval, and no file was given");
  const std::string saves = CheckpointFolder(run_config, options.run_dir);
  TL_RETURN_IF_ERROR(CheckEvalInputs(options.data.empty() ? "data.eval" : "--data",
                                     options.data.empty() ? run_config.data.eval : options.data,
                                     run_config, saves, world));
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(run_config, world));
  // Those it was trained on, where they are still there: the loss of other tokens means nothing.
  std::vector<BlendFile> files;
  std::error_code ignored;
  for (const WeightedPath& path : run_config.data.train) {
    if (std::filesystem::exists(path.path, ignored)) files.push_back({path.path, path.weight});
  }
  files.insert(files.end(), blend.files.begin(), blend.files.end());
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, CheckSameTokenizer(files)));
  auto data = OpenSequential(blend);
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, data.status()));
  TL_ASSIGN_OR_RETURN(const auto stepper, Stepper::Create(run_config, mesh));
  TL_RETURN_IF_ERROR(CheckPlan(run_config, *stepper, mesh));
  stepper->Allocate();
  TL_RETURN_IF_ERROR(stepper->InitializeFrom(saves));
  TL_ASSIGN_OR_RETURN(const EvalResult result, stepper->Evaluate(**data, options.batches));
  if (world.rank() != 0) return absl::OkStatus();
  std::printf("eval_loss %s over %lld targets",
              result.targets > 0 ? absl::StrFormat("%.9g", result.loss).c_str() : "-",
              static_cast<long long>(result.targets));
  if (result.targets == 0) LogWarning("every target is masked: there is no loss");
  if ((*data)->BytesPerToken() > 0 && result.targets > 0)
    std::printf(", %.5f bits/byte", result.loss / std::numbers::ln2 / (*data)->BytesPerToken());
  std::printf("\n");
  PrintHeads(result.heads);
  return absl::OkStatus();
}

}  // namespace tl
