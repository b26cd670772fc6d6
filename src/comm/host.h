// What this process can know of its host and launcher.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/where.h"
#include "comm/communicator.h"

namespace tl {

// "Open MPI v4.1.4"; needs no MPI to be running.
std::string MpiVersion();

// An error where the launcher started several tasks that cannot find each other, as srun does
// without an MPI plug-in: each would train alone and overwrite the others' files.
absl::Status CheckLauncher();

// Ranks of the world on this host. Collective.
int LocalRanks(Communicator& world);
// This rank's number among them. Collective.
int LocalRank(Communicator& world);
// The fair number of threads for this rank: the processors that the ranks of this host may run on,
// shared among them, and no more than this rank is bound to. Collective.
int DefaultThreads(Communicator& world);

// "rank 3 on node7", by the rank in the world.
std::string NameOfRank(int rank);

// Ends all ranks of the job with this exit code (1 for 0), with one line that names rank, host and
// step.
[[noreturn]] void AbortJob(int exit_code);

}  // namespace tl
