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

}  // namespace

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "unknown";
  return name;
}

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
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world);
  if (mpi == nullptr) return 1;
  MPI_Comm local;
  CheckMpi(MPI_Comm_split_type(mpi->comm(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local),
           "MPI_Comm_split_type", "local ranks");
  int size = 1;
  MPI_Comm_size(local, &size);
  MPI_Comm_free(&local);
  return size;
}

int DefaultThreads(Communicator& world) {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof(mine), &mine) != 0) return 1;
  const int bound = std::max(1, CPU_COUNT(&mine));
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world);
  if (mpi == nullptr) return bound;
  MPI_Comm local;
  CheckMpi(MPI_Comm_split_type(mpi->comm(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local),
           "MPI_Comm_split_type", "local ranks");
  cpu_set_t all;
  CheckMpi(MPI_Allreduce(&mine, &all, sizeof(mine), MPI_BYTE, MPI_BOR, local), "MPI_Allreduce",
           "processors of this host");
  int ranks = 1;
  MPI_Comm_size(local, &ranks);
  MPI_Comm_free(&local);
  return std::clamp(CPU_COUNT(&all) / ranks, 1, bound);
}

}  // namespace tl
