#include "train/trainer.h"

#include <fcntl.h>

#include <filesystem>
#include <limits>
#include <system_error>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/files.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/config.h"
#include "train/machine.h"
#include "train/signals.h"

namespace tl {
namespace {

// A config that lies in its own [run] dir is replaced by the resolved one: an error where somebody
// wrote it. Every line of a resolved one, of an older version with fewer keys too, is a line of the
// one it would be now.
absl::Status CheckReplacesEqual(const std::string& path, const Config& config) {
  const std::string resolved = config.run.dir + "/config.toml";
  std::error_code none;
  if (!std::filesystem::equivalent(path, resolved, none)) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  TL_ASSIGN_OR_RETURN(const std::string text,
                      ReadWholeFile(file, std::numeric_limits<int64_t>::max(), path));
  TL_ASSIGN_OR_RETURN(const Config alone, LoadConfig(path));
  const std::string now = WriteResolved(alone);
  const std::vector<absl::string_view> lines = absl::StrSplit(now, '\n');
  const absl::flat_hash_set<absl::string_view> known(lines.begin(), lines.end());
  bool resolved_once = true;
  for (const absl::string_view line : absl::StrSplit(text, '\n'))
    resolved_once = resolved_once && known.contains(line);
  if (resolved_once) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   ": is not as a resolved config is written, which would replace it: "
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
