// SPDX-License-Identifier: Apache-2.0
// What this process can know of its host and launcher.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/where.h"
#include "comm/communicator.h"

namespace tl {

// Tells "Open MPI v4.1.4"; needs no MPI to be running.
std::string MpiVersion();

// Refuses a launcher that started several tasks that cannot find each other, as srun does
// without an MPI plug-in: each would train alone and overwrite the others' files.
absl::Status CheckLauncher();

// Ranks of the world on this host. Collective.
int LocalRanks(Communicator& world);
// This rank's number among them. Collective.
int LocalRank(Communicator& world);
// Returns this rank's fair share of the processors that the ranks of this host may run on, no more
// than it is bound to. Collective.
int DefaultThreads(Communicator& world);

// Tells "rank 3 on node7", by the rank in the world.
std::string NameOfRank(int rank);

// Ends all ranks of the job with this exit code (1 for 0), with one line that names rank, host and
// step.
[[noreturn]] void AbortJob(int exit_code);

}  // namespace tl
