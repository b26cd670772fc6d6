// SPDX-License-Identifier: Apache-2.0
// The commands of the program, in one table.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cli/arguments.h"
#include "comm/communicator.h"
#include "config/config.h"

namespace tl {

using Args = std::vector<std::string>;  // what follows the command's name

struct Command {
  const char* name;
  const char* help;  // one line
  // Runs on every rank; what it prints it prints on rank 0.
  absl::Status (*run)(const Args& args, Communicator& world);
  // Those of which its first argument names one; null where it has none.
  absl::Span<const Command> (*subcommands)() = nullptr;
};

absl::Span<const Command> Commands();

// Runs the command that args[0] names, or shows what there is.
absl::Status RunCommand(const Args& args, Communicator& world);

absl::Status RunTrain(const Args& args, Communicator& world);
absl::Status RunEval(const Args& args, Communicator& world);
absl::Status RunGenerate(const Args& args, Communicator& world);
absl::Status RunSample(const Args& args, Communicator& world);
absl::Status RunCalibrate(const Args& args, Communicator& world);
absl::Status RunExport(const Args& args, Communicator& world);
absl::Status RunImport(const Args& args, Communicator& world);
absl::Status RunVerify(const Args& args, Communicator& world);
absl::Status RunTokenize(const Args& args, Communicator& world);
absl::Status RunCheckpoint(const Args& args, Communicator& world);
absl::Status RunReport(const Args& args, Communicator& world);
absl::Status RunBench(const Args& args, Communicator& world);
absl::Status RunInfo(const Args& args, Communicator& world);
absl::Status RunCompletion(const Args& args, Communicator& world);
absl::Status RunHelp(const Args& args, Communicator& world);
absl::Span<const Command> CheckpointCommands();

// The text of `trunkline help` and of `trunkline help config [SECTION or SECTION.KEY]`.
std::string OverviewText();
absl::StatusOr<std::string> ConfigHelpText(const std::string& topic);
// The page docs/reference/config.md, as `trunkline help config --markdown` prints it.
std::string ConfigMarkdown();

// False where help was asked for, which rank 0 has then printed. An error on all ranks where one
// has one, or where options differ between ranks; --set and --data are left to those who read them.
// While there is an OutlineRequest, gives it what is declared, and returns false. Collective.
absl::StatusOr<bool> ParseOrShowHelp(Arguments& arguments, const Args& args, Communicator& world);

// A config that is valid on these ranks, and from then on its watchdog. Collective: all ranks agree
// on the outcome, and on every key but the paths of data, which may differ between nodes; that
// those lead to the same files is checked where they are opened.
absl::StatusOr<Config> LoadValidConfig(const std::string& path, const Args& overrides,
                                       Communicator& world);
// The same of a run folder, for running its model on any number of ranks: a tensor size that the
// ranks do not allow becomes 1, and the global batch is one micro-batch per data rank.
absl::StatusOr<Config> LoadRunForInference(const std::string& dir, const Args& overrides,
                                           Communicator& world);
// Refuses a run whose model is one of pictures or other values, in a command for models of text.
absl::Status ExpectModelOfText(const Config& config, const std::string& dir);

}  // namespace tl
