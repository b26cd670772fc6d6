// SPDX-License-Identifier: Apache-2.0
// trunkline: the program. Its commands are in the table of cli/command.cc.
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "base/crash.h"
#include "base/exit_code.h"
#include "base/hangup.h"
#include "base/logging.h"
#include "base/open_file_limit.h"
#include "base/remove_on_signal.h"
#include "base/screen.h"
#include "base/version.h"
#include "cli/command.h"
#include "comm/communicator.h"
#include "comm/facts.h"
#include "comm/host.h"
#include "train/signals.h"

int main(int argc, char** argv) {
  tl::TakeFileSizeLimitAsError();
  tl::RaiseOpenFileLimit();
  if (argc > 1 && std::string_view(argv[1]) == "train") tl::HoldUserSignal();
  const std::unique_ptr<tl::Communicator> world =
      tl::LaunchedUnderMpi() ? tl::MakeMpiWorld(&argc, &argv) : tl::MakeSelfCommunicator();
  tl::RestoreHangup();
  tl::InstallCrashHandlers();
  tl::InstallEndSignals();
  if (world->rank() == 0) tl::FindScreens(tl::LaunchedUnderMpi());
  absl::Status mine = tl::CheckLauncher();
  try {
    if (mine.ok()) mine = tl::AgreeOnProgram(*world, tl::kVersion, argc > 1 ? argv[1] : "");
    if (mine.ok()) mine = tl::RunCommand(tl::Args(argv + 1, argv + argc), *world);
  } catch (const std::exception& error) {  // of a library; the other ranks may wait for this one
    tl::LogError(error.what());
    world->Abort(tl::kExitError);
  }
  const absl::Status all = tl::AgreeOnStatus(*world, mine);
  // One rank speaks for all; its own error needs no rank in front.
  const absl::Status& told = mine.ok() ? all : mine;
  const int code = tl::ExitCodeOf(told);
  if (world->rank() == 0 && !told.ok()) {
    const std::string message(told.message());
    code == tl::kExitError ? tl::LogError(message) : tl::LogWarning(message);
  }
  return code;
}
