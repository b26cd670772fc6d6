// SPDX-License-Identifier: Apache-2.0
#include "infer/calibrate.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/which_weights.h"
#include "kernels/cached_attention.h"
#include "train/machine.h"

namespace tl {

absl::Status RunCalibrate(const Args& args, Communicator& world) {
  CalibrateOptions options;
  std::string weights;
  Args overrides;
  Arguments arguments(
      "calibrate",
      "Finds out which drafts make this model write faster on this machine: how often the tokens "
      "of "
      "its heads are accepted, by head and rank, on held-out text; what a pass over 1 to 64 tokens "
      "costs; from both the best tree of drafts; and how fast each drafter writes. generate reads "
      "what it finds.",
      "  trunkline calibrate RUN\n"
      "  trunkline generate RUN --prompt 'And God said' --speculate auto "
      "--report\n");
  arguments
      .PathPositional("WHERE", &options.run_dir,
                      "A run folder ([run] dir of a training) or one checkpoint")
      .PathOption("--data", &options.data,
                  "A token file, once or several times; else [data] eval of the run")
      .Option("--tokens", &options.tokens, 1, "Tokens of it to measure acceptance on")
      .Option("--nodes", &options.nodes, 0, "Drafts in the tree; 0: as many as are fastest")
      .PathOption("--out", &options.out, "Where to write; else WHERE/calibration.json")
      .Overrides(&overrides);
  AddWeightsOption(arguments, &weights);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(options.weights, ParseWhichWeights(weights));
  if (options.nodes >= kTreeKeys)
    return absl::InvalidArgumentError(
        absl::StrCat("--nodes ", options.nodes, ": expected fewer than ", kTreeKeys));
  TL_ASSIGN_OR_RETURN(const Config config, LoadRunForInference(options.run_dir, overrides, world));
  TL_RETURN_IF_ERROR(ExpectModelOfText(config, options.run_dir));
  if (options.data.empty() && config.data.eval.empty())
    return absl::InvalidArgumentError(
        absl::StrCat(options.run_dir, "/config.toml has no [data] eval: give --data FILE"));
  SetThreads(config.run.threads, world);
  return Calibrate(options, config, world);
}

}  // namespace tl
