// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "base/logging.h"
#include "base/status.h"
#include "cli/command.h"
#include "report/page.h"
#include "train/machine.h"
#include "train/signals.h"

namespace tl {
absl::Status RunTrain(const Args& args, Communicator& world) {
  std::string path;
  Args overrides;
  Arguments arguments(
      "train",
      "Trains a model as a config file says. Ranks started by mpirun or srun form a data x tensor "
      "grid; alone it trains on one. Progress goes to the screen; metrics.jsonl, TensorBoard "
      "events, the resolved config and the saves go to [run] dir. Started again, it goes on from "
      "the newest save there. SIGUSR1 and [checkpoint] time_limit save and end it with exit code "
      "85, SIGHUP, SIGINT, SIGPIPE and SIGTERM with 128 + their number.",
      "  trunkline train configs/quickstart.toml --set train.steps=200 run.dir=/tmp/first\n"
      "  mpirun -n 4 trunkline train configs/kjv-10m.toml --set parallel.tensor=2 "
      "precision.compute=bf16\n");
  arguments
      .PathPositional("CONFIG", &path, "The config file; `trunkline help config` lists its keys")
      .Overrides(&overrides);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  InstallStopSignals();
  TL_ASSIGN_OR_RETURN(const Config config, LoadValidConfig(path, overrides, world));
  if (config.data.train.empty()) {
    return absl::InvalidArgumentError(
        path + ": [data] train is missing: expected token files; `trunkline tokenize` makes them");
  }
  SetThreads(config.run.threads, world);
  const absl::Status trained = Train(config, world);
  const int code = ExitCodeOf(trained);
  // A training is no worse for a page that could not be made of it.
  if (world.rank() == 0 && (code == kExitDone || code == kExitFinding)) {
    const absl::Status report = WriteReport({config.run.dir}, config.run.dir + "/report.html");
    if (!report.ok()) LogWarning(absl::StrCat("no report: ", report.message()));
  }
  return trained;
}

}  // namespace tl
