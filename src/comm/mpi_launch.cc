// SPDX-License-Identifier: Apache-2.0
// The start and the end of MPI in this process.
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/live_line.h"
#include "comm/communicator.h"
#include "comm/host.h"
#include "comm/mpi_communicator.h"

namespace tl {
namespace {

constexpr double kLoneExitSeconds = 5;

MPI_Comm g_exit_comm = MPI_COMM_NULL;

bool MpiRunning() {
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized && !finalized;
}

// Of every rank, so that the one that waits can say for whom.
constexpr int kHostBytes = 64;
std::vector<char>& Hosts() {
  static auto* hosts = new std::vector<char>;
  return *hosts;
}

void GatherHosts(MPI_Comm comm) {
  int size = 0;
  MPI_Comm_size(comm, &size);
  Hosts().resize(static_cast<size_t>(size) * kHostBytes);
  char mine[kHostBytes] = "";
  std::strncpy(mine, HostName().c_str(), kHostBytes - 1);
  CheckMpi(MPI_Allgather(mine, kHostBytes, MPI_CHAR, Hosts().data(), kHostBytes, MPI_CHAR, comm),
           "MPI_Allgather", "names of hosts");
}

// MPI_Finalize waits for all ranks: a rank that fails alone would wait for ever for ranks that wait
// for it in a collective.
void FinalizeAtExit(int status, void*) {
  if (!MpiRunning()) return;
  MPI_Request request;
  MPI_Ibarrier(g_exit_comm, &request);
  const double start = MPI_Wtime();
  int done = 0;
  while (true) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done) break;
    if (status != 0 && MPI_Wtime() - start > kLoneExitSeconds) AbortJob(status);
    usleep(500);
  }
  MPI_Comm_free(&g_exit_comm);
  MPI_Finalize();
}

}  // namespace

void AbortJob(int exit_code) {
  const int code = exit_code == 0 ? EXIT_FAILURE : exit_code;
  std::fflush(stdout);
  if (MpiRunning()) {
    int size = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    EraseLiveLine();
    std::fprintf(stderr, "%s: ends all %d ranks, exit code %d\n", Where().c_str(), size, code);
    std::fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, code);
  }
  std::fflush(stderr);
  _exit(code);
}

std::string NameOfRank(int rank) {
  const size_t at = static_cast<size_t>(rank) * kHostBytes;
  std::string name = "rank " + std::to_string(rank);
  if (rank >= 0 && at < Hosts().size()) name += std::string(" on ") + &Hosts()[at];
  return name;
}

bool LaunchedUnderMpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

std::unique_ptr<Communicator> MakeMpiWorld(int* argc, char*** argv) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (!initialized) {
    int provided = 0;
    const int code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    TL_CHECK(code == MPI_SUCCESS) << "MPI_Init_thread on " << HostName();
    TL_CHECK(provided >= MPI_THREAD_FUNNELED) << "MPI without threads: " << MpiVersion();
  }
  if (g_exit_comm == MPI_COMM_NULL) {
    MPI_Comm_dup(MPI_COMM_WORLD, &g_exit_comm);
    on_exit(FinalizeAtExit, nullptr);
    SetFatalHandler(AbortJob);
    GatherHosts(MPI_COMM_WORLD);
  }
  MPI_Comm comm;
  CheckMpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup", "world");
  auto world = std::make_unique<MpiCommunicator>(comm, std::make_shared<Workspaces>(), "world");
  SetLogRank(world->rank());
  // Alone there is nothing to send.
  if (world->size() == 1) return MakeSelfCommunicator();
  return world;
}

}  // namespace tl
