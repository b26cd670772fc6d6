// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"
#include "cli/command.h"
#include "cli/which_weights.h"
#include "train/evaluate.h"
#include "train/machine.h"

namespace tl {

absl::Status RunEval(const Args& args, Communicator& world) {
  EvalOptions options;
  std::string weights;
  Args data, overrides;
  Arguments arguments(
      "eval",
      "The loss of a trained model on token files, and bits per byte where the "
      "tokenizer allows. On any number of ranks, whatever it was trained on.",
      "  trunkline eval checkpoints/quickstart\n"
      "  mpirun -n 2 trunkline eval checkpoints/kjv-10m --data data/kjv-eval.tok\n");
  arguments
      .PathPositional("WHERE", &options.run_dir,
                      "A run folder ([run] dir of a training) or one checkpoint")
      .PathOption("--data", &data,
                  "A token file, once or several times; else [data] eval of the run")
      .Option("--batches", &options.batches, 0, "Micro-batches per data rank; 0: everything")
      .Overrides(&overrides);
  AddWeightsOption(arguments, &weights);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(options.weights, ParseWhichWeights(weights));
  TL_ASSIGN_OR_RETURN(const Config config, LoadRunForInference(options.run_dir, overrides, world));
  for (const std::string& path : data) options.data.push_back({path});
  if (options.data.empty() && config.data.eval.empty()) {
    return absl::InvalidArgumentError(options.run_dir +
                                      "/config.toml has no [data] eval: give --data FILE");
  }
  SetThreads(config.run.threads, world);
  return Evaluate(options, config, world);
}

}  // namespace tl
