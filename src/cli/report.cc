// SPDX-License-Identifier: Apache-2.0
#include "report/page.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"

namespace tl {

absl::Status RunReport(const Args& args, Communicator& world) {
  Args dirs;
  std::string out;
  Arguments arguments(
      "report",
      "Draws what a training wrote as one HTML file, which needs neither network nor scripts: "
      "curves of losses, heads, learning rate, gradients, speed and memory, with saves, resumes "
      "and stops; what was trained, on what; and what calibrate and generate --report found. "
      "Several runs are drawn over each other, with the differences of their configs.",
      "  trunkline report checkpoints/quickstart\n"
      "  trunkline report runs/a runs/b --out compared.html\n");
  arguments.PathPositional("RUN", &dirs, "Run folders ([run] dir of trainings)")
      .PathOption("--out", &out, "The file to write; else RUN/report.html, where there is one RUN");
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  if (world.size() > 1)
    return absl::InvalidArgumentError(
        "`trunkline report` works in one process: start it without mpirun or srun");
  if (out.empty() && dirs.size() > 1)
    return absl::InvalidArgumentError("--out is required where several runs are drawn");
  if (out.empty()) out = dirs[0] + "/report.html";
  TL_RETURN_IF_ERROR(WriteReport(dirs, out));
  std::printf("%s\n", out.c_str());
  return absl::OkStatus();
}

}  // namespace tl
