// trunkline: the program. Its commands are in the table of cli/command.cc.
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "base/logging.h"
#include "cli/command.h"
#include "comm/communicator.h"
#include "comm/host.h"

int main(int argc, char** argv) {
  const std::unique_ptr<tl::Communicator> world =
      tl::LaunchedUnderMpi() ? tl::MakeMpiWorld(&argc, &argv) : tl::MakeSelfCommunicator();
  absl::Status mine = tl::CheckLauncher();
  try {
    if (mine.ok()) mine = tl::RunCommand(tl::Args(argv + 1, argv + argc), *world);
  } catch (const std::exception& error) {  // of a library; the other ranks may wait for this one
    tl::LogError(error.what());
    world->Abort(1);
  }
  // One rank speaks for all; its own error needs no rank in front.
  const absl::Status all = tl::AgreeOnStatus(*world, mine);
  if (all.ok()) return 0;
  if (world->rank() == 0) tl::LogError(std::string((mine.ok() ? all : mine).message()));
  return 1;
}
