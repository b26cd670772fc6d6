// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/which_weights.h"
#include "infer/exact_likelihood.h"
#include "train/data.h"
#include "train/evaluate.h"
#include "train/machine.h"

namespace tl {
namespace {

// "exact": 0.
absl::StatusOr<int64_t> ParseProbes(const std::string& text) {
  int64_t probes = 0;
  if (text == "exact") return probes;
  if (absl::SimpleAtoi(text, &probes) && probes > 0) return probes;
  return absl::InvalidArgumentError(
      absl::StrCat("--probes ", text, ": expected a number of them or exact"));
}

// The files of --data, each with its labels where --labels are given.
absl::StatusOr<std::vector<WeightedPath>> DataFiles(const Args& data, const Args& labels,
                                                    const Config& config) {
  if (!labels.empty() && !config.model.of_values())
    return absl::InvalidArgumentError("--labels are of pictures, and the model is one of text");
  if (!labels.empty() && labels.size() != data.size()) {
    return absl::InvalidArgumentError(absl::StrCat("--labels: expected a file for each of --data, ",
                                                   data.size(), ", found ", labels.size()));
  }
  std::vector<WeightedPath> files;
  for (size_t i = 0; i < data.size(); ++i)
    files.push_back({.path = data[i], .labels = labels.empty() ? "" : labels[i]});
  return files;
}

}  // namespace

absl::Status RunEval(const Args& args, Communicator& world) {
  EvalOptions options;
  ExactLikelihoodOptions likelihood;
  std::string weights, probes = "1";
  Args data, labels, overrides;
  Arguments arguments("eval",
                      "The loss of a trained model on token files, and bits per byte where the "
                      "tokenizer allows; of a denoiser on pictures, and bits per dimension. On any "
                      "number of ranks, "
                      "whatever it was trained on.",
                      "  trunkline eval checkpoints/quickstart\n"
                      "  mpirun -n 2 trunkline eval checkpoints/kjv-10m --data data/kjv-eval.tok\n"
                      "  mpirun -n 2 trunkline eval checkpoints/fashion --likelihood 256\n");
  arguments
      .PathPositional("WHERE", &options.run_dir,
                      "A run folder ([run] dir of a training) or one checkpoint")
      .PathOption(
          "--data", &data,
          "A file of tokens or pictures, once or several times; else [data] eval of the run")
      .PathOption("--labels", &labels, "The labels of pictures, a file for each of --data")
      .Option("--batches", &options.batches, 0, "Micro-batches per data rank; 0: everything")
      .Option("--likelihood", &likelihood.count, 1,
              "Denoisers: the first so many pictures, and their exact likelihood by the "
              "probability-flow ODE, in fp32")
      .Option("--tolerance", &likelihood.integral.tolerance, 0.0,
              "--likelihood: error of a step, of the state and of ln p per dimension")
      .Option("--probes", &probes,
              "--likelihood: random probes of the Jacobian's trace, or exact, up to 64 numbers")
      .Option("--batch", &likelihood.batch, 1,
              "--likelihood: pictures that a rank works on at once")
      .Overrides(&overrides);
  AddWeightsOption(arguments, &weights);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(options.weights, ParseWhichWeights(weights));
  TL_ASSIGN_OR_RETURN(const Config config, LoadRunForInference(options.run_dir, overrides, world));
  TL_ASSIGN_OR_RETURN(options.data, DataFiles(data, labels, config));
  if (options.data.empty() && config.data.eval.empty()) {
    return absl::InvalidArgumentError(options.run_dir +
                                      "/config.toml has no [data] eval: give --data FILE");
  }
  if (likelihood.count > 0) {
    likelihood.run_dir = options.run_dir;
    likelihood.weights = options.weights;
    TL_ASSIGN_OR_RETURN(likelihood.integral.probes, ParseProbes(probes));
    TL_RETURN_IF_ERROR(ValidateExactLikelihood(likelihood, config));
    if (options.batches > 0)
      return absl::InvalidArgumentError("--batches and --likelihood exclude each other");
    options.samples = likelihood.count;
  }
  SetThreads(config.run.threads, world);
  TL_RETURN_IF_ERROR(Evaluate(options, config, world));
  if (likelihood.count == 0) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(
      const auto pictures,
      OpenHeldOutData(config, options.data.empty() ? config.data.eval : options.data, world,
                      HeldOutBytes::kPlaces));
  return PrintExactLikelihood(likelihood, config, *pictures, world);
}

}  // namespace tl
