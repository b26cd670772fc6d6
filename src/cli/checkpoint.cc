// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/exit_code.h"
#include "base/host_memory.h"
#include "base/logging.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/health.h"
#include "checkpoint/reader.h"
#include "checkpoint/reshard.h"
#include "cli/command.h"
#include "cli/findings.h"

namespace tl {
namespace {

constexpr char kCodes[] =
    "Exit codes: 0 all is well, 3 damage, ill health or a difference was found, 1 any other "
    "error.\n";

std::string GridText(const Manifest& m) { return absl::StrCat(m.data_size, "x", m.tensor_size); }

absl::Status List(const Args& args, Communicator& world) {
  std::string where;
  Arguments arguments("checkpoint list",
                      "The checkpoints in a folder, newest first: step, size, grid that saved it, "
                      "and health: whether the manifest is whole, every file is there with its "
                      "size, and losses and gradients were finite when it was saved. `verify` "
                      "reads the data too.",
                      absl::StrCat("  trunkline checkpoint list checkpoints/quickstart\n", kCodes));
  arguments.PathPositional("WHERE", &where, "A folder of checkpoints, or one checkpoint");
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FindCheckpoints(where));
  Findings findings;
  absl::PrintF("%10s  %10s  %5s  %s\n", "step", "size", "grid", "health");
  for (const std::string& path : paths) {
    const auto reader = CheckpointReader::Open(path);
    if (!reader.ok()) {
      if (findings.Add(reader.status()))
        absl::PrintF("%10s  %10s  %5s  bad: %s\n", "?", "?", "?", reader.status().message());
      continue;
    }
    const Manifest& m = (*reader)->manifest();
    findings.AddHealth(m.run);
    absl::PrintF("%10d  %10s  %5s  %s: %s\n", m.run.step, HumanBytes(m.bytes()), GridText(m),
                 HealthText(m.run), path);
  }
  return findings.End("checkpoints");
}

// The newest healthy one where a folder is given.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenOne(const std::string& where) {
  TL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FindCheckpoints(where));
  if (const std::string notice = HealthNotice(paths); !notice.empty()) LogWarning(notice);
  return CheckpointReader::Open(HealthyFirst(paths)[0]);
}

absl::Status Inspect(const Args& args, Communicator& world) {
  std::string where, name;
  Arguments arguments("checkpoint inspect",
                      "What a checkpoint holds: where the run stood, who saved it, and every "
                      "tensor with its shape, type, split axis and statistics.",
                      "  trunkline checkpoint inspect checkpoints/quickstart --tensor embedding\n");
  arguments.PathPositional("WHERE", &where, "A checkpoint, or a folder: its newest healthy one")
      .Option("--tensor", &name, "Only tensors whose name contains this");
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const auto reader, OpenOne(where));
  const Manifest& m = reader->manifest();
  const RunState& r = m.run;
  absl::PrintF("%s\n  step %d, %d updates, %d skipped, %d samples, loss scale %g\n", reader->path(),
               r.step, r.updates, r.skipped, r.samples, r.scaler.scale);
  if (r.unhealthy_since > 0) absl::PrintF("  unhealthy since step %d\n", r.unhealthy_since);
  absl::PrintF("  %d files, %s, grid %s\n", m.files.size(), HumanBytes(m.bytes()), GridText(m));
  for (const auto& [key, value] : m.provenance) absl::PrintF("  %s: %s\n", key, value);
  if (m.tokenizer_hash != 0) absl::PrintF("  tokenizer: %016x\n", m.tokenizer_hash);
  for (const FileIdentity& file : m.data)
    absl::PrintF("  %s: %s: %s\n", file.key, file.path, Describe(file));
  absl::PrintF("%-48s %-16s %-9s %5s %11s %11s %11s %11s\n", "tensor", "shape", "type", "split",
               "min", "max", "mean", "std");
  for (size_t i = 0; i < m.tensors.size(); ++i) {
    const TensorRecord& tensor = m.tensors[i];
    if (!absl::StrContains(tensor.name, name)) continue;
    TL_ASSIGN_OR_RETURN(const TensorStatistics s, ReadStatistics(*reader, static_cast<int>(i)));
    absl::PrintF("%-48s %-16s %-9s %5s %11.4g %11.4g %11.4g %11.4g%s\n",
                 DatasetName(tensor).substr(1), ToString(tensor.shape), Name(tensor.dtype),
                 tensor.split_axis < 0 ? "-" : absl::StrCat(tensor.split_axis), s.low, s.high,
                 s.mean, s.deviation,
                 s.not_finite > 0 ? absl::StrCat("  ", s.not_finite, " not finite") : "");
  }
  return absl::OkStatus();
}

absl::Status Verify(const Args& args, Communicator& world) {
  std::string where;
  Arguments arguments(
      "checkpoint verify",
      "Reads every byte of checkpoints, checks every checksum, and that every "
      "element of every tensor is stored exactly once; says which were saved by a training whose "
      "losses or gradients were not finite.",
      absl::StrCat("  trunkline checkpoint verify checkpoints/quickstart\n", kCodes));
  arguments.PathPositional("WHERE", &where, "A checkpoint, or a folder: all in it");
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FindCheckpoints(where));
  Findings findings;
  for (const std::string& path : paths) findings.VerifyCheckpoint(path);
  return findings.End("checkpoints");
}

absl::Status RunReshard(const Args& args, Communicator& world) {
  std::string where, out;
  int64_t data = 1, tensor = 1;
  Arguments arguments("checkpoint reshard",
                      "Writes a checkpoint again with one file for every rank of another grid. A "
                      "run needs no such thing: it loads any checkpoint on any grid.",
                      "  trunkline checkpoint reshard checkpoints/big/step_00001000 --out one\n");
  arguments.PathPositional("WHERE", &where, "A checkpoint, or a folder: its newest healthy one")
      .PathOption("--out", &out, "The folder that gets step_*; it must not have one of this step",
                  Arguments::Need::kRequired)
      .Option("--data", &data, 1, "Data ranks")
      .Option("--tensor", &tensor, 1, "Tensor ranks");
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  constexpr int64_t kMaxRanks = 9999;
  if (data > kMaxRanks || tensor > kMaxRanks / data)
    return absl::InvalidArgumentError(
        absl::StrCat("--data x --tensor: expected at most ", kMaxRanks, " ranks"));
  TL_ASSIGN_OR_RETURN(const auto reader, OpenOne(where));
  TL_ASSIGN_OR_RETURN(const std::string path,
                      Reshard(*reader, out, static_cast<int>(data), static_cast<int>(tensor)));
  absl::PrintF("%s\n", path);
  return absl::OkStatus();
}

absl::Status Diff(const Args& args, Communicator& world) {
  std::string a, b;
  Arguments arguments("checkpoint diff",
                      "The tensors in which two checkpoints differ, to the bit, with the largest "
                      "difference of each. The grids may differ.",
                      absl::StrCat("  trunkline checkpoint diff run1/step_00000100 "
                                   "run2/step_00000100\n",
                                   kCodes));
  arguments.PathPositional("A", &a, "A checkpoint, or a folder: its newest healthy one")
      .PathPositional("B", &b, "Another");
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const auto first, OpenOne(a));
  TL_ASSIGN_OR_RETURN(const auto second, OpenOne(b));
  TL_ASSIGN_OR_RETURN(const auto differences, Compare(*first, *second));
  for (const TensorDifference& d : differences) {
    if (!d.why.empty()) {
      absl::PrintF("%-48s %s\n", d.tensor, d.why);
    } else {
      absl::PrintF("%-48s %d elements differ, by at most %.6g\n", d.tensor, d.elements, d.largest);
    }
  }
  if (differences.empty()) {
    absl::PrintF("no tensor differs\n");
    return absl::OkStatus();
  }
  return EndWith(kExitFinding, absl::StrCat(differences.size(), " tensors differ"));
}

constexpr Command kSubcommands[] = {
    {"list", "the checkpoints in a folder, with sizes and health", List},
    {"inspect", "what one holds: state, tensors, statistics", Inspect},
    {"verify", "read every byte and check every checksum", Verify},
    {"reshard", "write one again for another grid", RunReshard},
    {"diff", "the largest difference of every tensor of two", Diff},
};

}  // namespace

absl::Span<const Command> CheckpointCommands() { return kSubcommands; }

absl::Status RunCheckpoint(const Args& args, Communicator& world) {
  if (world.size() > 1)
    return absl::InvalidArgumentError(
        "`trunkline checkpoint` works in one process: start it without mpirun or srun");
  if (!args.empty()) {
    for (const Command& command : kSubcommands) {
      if (args[0] == command.name) return command.run(Args(args.begin() + 1, args.end()), world);
    }
  }
  std::string text = "Looks after checkpoints.\n\nUsage: trunkline checkpoint COMMAND ...\n\n";
  for (const Command& command : kSubcommands)
    absl::StrAppendFormat(&text, "  %-10s %s\n", command.name, command.help);
  absl::StrAppend(&text, "\nExample:\n  trunkline checkpoint verify checkpoints/quickstart\n",
                  kCodes);
  if (!args.empty() && args[0] != "--help" && args[0] != "-h")
    return absl::InvalidArgumentError(
        absl::StrCat("unknown command checkpoint ", args[0], "; `trunkline checkpoint` lists all"));
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace tl
