// SPDX-License-Identifier: Apache-2.0
#include "infer/sample.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/which_weights.h"
#include "train/machine.h"

namespace tl {

absl::Status RunSample(const Args& args, Communicator& world) {
  SampleOptions options;
  SamplerOptions& sampling = options.sampling;
  std::string weights;
  int64_t seed = 1;
  Args overrides;
  std::vector<std::string> samplers;
  for (const SamplerKind& kind : SamplerKinds()) samplers.emplace_back(kind.name);
  Arguments arguments(
      "sample",
      "Draws samples of a model that was trained to take noise out of pictures or other values. A "
      "sample "
      "depends on the seed, its number and its class; on CPUs not on the batch or the number of "
      "data ranks.",
      "  trunkline sample checkpoints/fashion --count 64 --grid samples.png\n"
      "  trunkline sample checkpoints/fashion --class 3 --guidance 1.5 --sampler dpm++ --steps 25 "
      "--out threes.npy --bytes\n"
      "  mpirun -n 2 trunkline sample checkpoints/fashion --count 2000 --out samples.npy\n");
  arguments.PathPositional("WHERE", &options.run_dir, "A run folder or one checkpoint")
      .Option("--count", &options.count, 1, "Samples to draw")
      .Option("--class", &options.label, 0,
              "Of this class, counted from 0; else sample k is of class k mod classes")
      .Option("--guidance", &options.guidance, 0.0,
              "How far towards the class and away from samples without one; 1: neither")
      .Option("--sampler", &options.sampler,
              "How noise becomes data: " + absl::StrJoin(samplers, ", "))
      .Option("--steps", &sampling.steps, 0, "Noises from the most to none; 0: the sampler's own")
      .Option("--churn", &sampling.churn, 0.0,
              "euler, heun: noise that steps add on their way down")
      .Option("--noise", &sampling.noise, 0.0,
              "euler-maruyama: 1 for the reverse SDE, 0 for the ODE, and between")
      .Option("--snr", &sampling.snr, 0.0, "predictor-corrector: signal to noise of a correction")
      .Option("--tolerance", &sampling.tolerance, 0.0, "rk45: error of a step")
      .Option("--langevin-step", &sampling.langevin_step, 0.0,
              "langevin: size of a step, in squares of the level's noise")
      .Option("--langevin-repeats", &sampling.langevin_repeats, 1, "langevin: steps at a level")
      .Option("--seed", &seed, 0, "The same seed gives the same samples")
      .Option("--batch", &options.batch, 1, "Samples that a rank works on at once")
      .PathOption("--out", &options.out, "A .npy file of them, [count, channels, height, width]")
      .Flag("--bytes", &options.bytes, "--out gets bytes, as pictures of bytes were read")
      .PathOption("--grid", &options.grid, "A PNG picture of them all, side by side")
      .Overrides(&overrides)
      .Words("--sampler", samplers);
  AddWeightsOption(arguments, &weights);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  options.seed = static_cast<uint64_t>(seed);
  TL_ASSIGN_OR_RETURN(options.weights, ParseWhichWeights(weights));
  TL_ASSIGN_OR_RETURN(const Config config, LoadRunForInference(options.run_dir, overrides, world));
  if (!config.model.of_values()) {
    return absl::InvalidArgumentError(options.run_dir +
                                      " is a model of text: `trunkline generate` lets it write");
  }
  SetThreads(config.run.threads, world);
  return Sample(options, config, world);
}

}  // namespace tl
