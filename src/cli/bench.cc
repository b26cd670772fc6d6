// SPDX-License-Identifier: Apache-2.0
#include "train/bench.h"

#include "base/status.h"
#include "cli/command.h"
#include "train/machine.h"

namespace tl {

absl::Status RunBench(const Args& args, Communicator& world) {
  std::string path;
  Args overrides;
  BenchOptions options;
  Arguments arguments(
      "bench",
      "Times training steps of a config's model on made-up tokens, and the matrix products of this "
      "machine in the same process: tokens per second and the fraction of that roof. Needs no data "
      "and writes nothing.",
      "  trunkline bench configs/bench-10m.toml --set precision.compute=bf16\n"
      "  mpirun -n 2 trunkline bench configs/bench-124m.toml --set train.micro_batch_size=1\n");
  arguments.PathPositional("CONFIG", &path, "The config file")
      .Option("--steps", &options.steps, 1, "Steps that are timed; the median counts")
      .Option("--warmup", &options.warmup, 0, "Steps before them")
      .Option("--attention", &options.attention, 0,
              "1: attention of many lengths, head sizes and masks too; for GPUs")
      .Overrides(&overrides);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const Config config, LoadValidConfig(path, overrides, world));
  SetThreads(config.run.threads, world);
  return Bench(config, options, world);
}

}  // namespace tl
