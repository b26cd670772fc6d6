// SPDX-License-Identifier: Apache-2.0
#include "comm/host.h"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "comm/mpi_communicator.h"

namespace tl {
namespace {

int EnvInt(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? 0 : std::atoi(value);
}

// The ranks of one host.
class LocalGroup {
 public:
  explicit LocalGroup(const MpiCommunicator& world) {
    CheckMpi(MPI_Comm_split_type(world.comm(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm),
             "MPI_Comm_split_type", "ranks of this host");
    MPI_Comm_size(comm, &size);
    MPI_Comm_rank(comm, &rank);
  }
  ~LocalGroup() { MPI_Comm_free(&comm); }

  MPI_Comm comm = MPI_COMM_NULL;
  int size = 1;
  int rank = 0;
};

}  // namespace

std::string MpiVersion() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string version(text);
  return version.substr(0, version.find_first_of(",\n"));
}

absl::Status CheckLauncher() {
  const int tasks = EnvInt("SLURM_STEP_NUM_TASKS");
  if (tasks <= 1 || std::getenv("SLURM_PROCID") == nullptr || LaunchedUnderMpi())
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      "srun started " + std::to_string(tasks) +
      " tasks without an MPI plug-in, so they cannot find each other; use srun --mpi=pmix or "
      "mpirun");
}

int LocalRanks(Communicator& world) {
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world.host());
  if (mpi == nullptr) return 1;
  return LocalGroup(*mpi).size;
}

int LocalRank(Communicator& world) {
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world.host());
  if (mpi == nullptr) return 0;
  return LocalGroup(*mpi).rank;
}

int DefaultThreads(Communicator& world) {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof(mine), &mine) != 0) return 1;
  const int bound = std::max(1, CPU_COUNT(&mine));
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world.host());
  if (mpi == nullptr) return bound;
  const LocalGroup local(*mpi);
  cpu_set_t all;
  CheckMpi(MPI_Allreduce(&mine, &all, sizeof(mine), MPI_BYTE, MPI_BOR, local.comm), "MPI_Allreduce",
           "processors of this host");
  return std::clamp(CPU_COUNT(&all) / local.size, 1, bound);
}

}  // namespace tl
