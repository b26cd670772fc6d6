#include "train/trainer.h"

#include <fcntl.h>

#include <filesystem>
#include <limits>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/config.h"
#include "train/machine.h"
#include "train/signals.h"

namespace tl {
namespace {

// A config that lies in its own [run] dir is replaced by the resolved one: an error where that is
// not what it was.
absl::Status CheckReplacesEqual(const std::string& path, const Config& config) {
  const std::string resolved = config.run.dir + "/config.toml";
  std::error_code none;
  if (!std::filesystem::equivalent(path, resolved, none)) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  TL_ASSIGN_OR_RETURN(const std::string text,
                      ReadWholeFile(file, std::numeric_limits<int64_t>::max(), path));
  TL_ASSIGN_OR_RETURN(const Config alone, LoadConfig(path));
  if (WriteResolved(alone) == text) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   ": is not as this version writes a resolved config, which would replace it: "
                   "keep it elsewhere, or set another [run] dir"));
}

}  // namespace

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
  TL_RETURN_IF_ERROR(AgreeOnStatus(
      world, world.rank() == 0 ? CheckReplacesEqual(path, config) : absl::OkStatus()));
  SetThreads(config.run.threads, world);
  return Train(config, WriteResolved(config), world);
}

}  // namespace tl
