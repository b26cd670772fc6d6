// NCCL's calls that the product makes, over MPI: operations are pieces of a stream's work that are
// done when the messages of all ranks are there. Found by comm/nccl_api.cc as symbols of the
// program.
//
// Sums go around a ring and are rounded at each addition. What is written is full of NaNs from the
// start of an operation to its end, and what is read or written meanwhile by others is reported, as
// are ranks that make different calls. Communicators do not block: a call returns ncclInProgress
// every other time, and using one before it is ready is reported.
//
// TL_SIMT_NCCL=hang:R:N lets the Nth operation of world rank R never end; error:R:N lets its
// communicator fail.
#include <mpi.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/simt/nccl/flight.h"
#include "tests/simt/runtime.h"

namespace tl::simt {
namespace {

int g_group = 0;
std::vector<std::pair<cudaStream_t, std::shared_ptr<Flight>>> g_grouped;

// Whether the communicator may be used; it then has something to settle again.
bool Ready(Comm comm, const char* call) {
  if (!OnMachineThread()) Refuse(std::string(call) + " in another thread");
  if (comm->unsettled > 0 && g_group == 0)
    Refuse(std::string(call) + " on a communicator that is still busy with another call");
  return comm->error == kSuccess;
}
Result Settling(Comm comm) {
  static int calls = 0;
  if (++calls % 2 == 0) return kSuccess;
  comm->unsettled = 2;
  return kInProgress;
}

Result Enqueue(Comm comm, const Call& call, size_t in_parts, size_t out_parts,
               cudaStream_t stream) {
  if (!Ready(comm, call.name)) return comm->error;
  const size_t part = call.count * SizeOfType(call.type);
  const Range in{static_cast<std::byte*>(const_cast<void*>(call.in)), in_parts * part};
  const Range out{static_cast<std::byte*>(call.out), out_parts * part};
  const auto flight = std::make_shared<Collective>(comm, call, in, out);
  Push(stream, {nullptr, nullptr, [flight] { return flight->Poll(); }});
  return Settling(comm);
}

Result Message1(Comm comm, void* data, size_t count, DataType type, int peer, cudaStream_t stream,
                bool sends) {
  if (g_group == 0) Refuse("Send or Recv outside of a group");
  if (!Ready(comm, "Send or Recv")) return comm->error;
  Header header;
  std::strcpy(header.call, "SendRecv");
  header.count = static_cast<int64_t>(count);
  header.type = type;
  const Range range{static_cast<std::byte*>(data), count * SizeOfType(type)};
  g_grouped.emplace_back(stream, std::make_shared<PointToPoint>(comm, range, header, peer, sends));
  return kSuccess;
}

// The members of a communicator find each other: each tells the root, which tells all.
struct Member {
  int rank, world_rank, device;
};

}  // namespace
}  // namespace tl::simt

using namespace tl::simt;  // NOLINT
using namespace tl::nccl;  // NOLINT

extern "C" {

Result ncclGetVersion(int* version) {
  *version = 22809;
  return kSuccess;
}
const char* ncclGetErrorString(Result result) {
  return result == kSuccess        ? "no error"
         : result == kRemoteError  ? "remote process exited or there was a network error"
         : result == kInvalidUsage ? "invalid usage"
                                   : "error of the NCCL stand-in";
}
const char* ncclGetLastError(Comm) { return ""; }

Result ncclGetUniqueId(UniqueId* id) {
  static int count = 0;
  const int value[2] = {WorldRank(), count++ % kNumbers};
  std::memcpy(id->internal, value, sizeof(value));
  return kSuccess;
}

Result ncclCommInitRankConfig(Comm* out, int size, UniqueId id, int rank, Config* config) {
  if (config->magic != 0xcafebeef || config->size < sizeof(Config) || config->blocking != 0) {
    Refuse("a configuration that NCCL would not take");
    return kInvalidArgument;
  }
  int root[2];
  std::memcpy(root, id.internal, sizeof(root));
  auto* comm = new ncclComm;
  comm->rank = rank;
  comm->size = size;
  comm->number = root[0] * kNumbers + root[1];
  Member mine{rank, WorldRank(), 0};
  cudaGetDevice(&mine.device);
  std::vector<Member> members(size);
  const int tag = kBootstrap | comm->number;
  if (mine.world_rank == root[0]) {
    members[rank] = mine;
    for (int i = 0; i < size - 1; ++i) {
      Member other;
      PMPI_Recv(&other, sizeof(other), MPI_BYTE, MPI_ANY_SOURCE, tag, MPI_COMM_WORLD,
                MPI_STATUS_IGNORE);
      members[other.rank] = other;
    }
    for (int i = 0; i < size; ++i) {
      if (i != rank)
        PMPI_Send(members.data(), static_cast<int>(size * sizeof(Member)), MPI_BYTE,
                  members[i].world_rank, tag, MPI_COMM_WORLD);
    }
  } else {
    PMPI_Send(&mine, sizeof(mine), MPI_BYTE, root[0], tag, MPI_COMM_WORLD);
    PMPI_Recv(members.data(), static_cast<int>(size * sizeof(Member)), MPI_BYTE, root[0], tag,
              MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  std::vector<int> devices;
  for (const Member& m : members) {
    comm->world_rank.push_back(m.world_rank);
    devices.push_back(m.device);
  }
  std::sort(devices.begin(), devices.end());
  if (std::adjacent_find(devices.begin(), devices.end()) != devices.end())
    comm->error = kInvalidUsage;  // two ranks on one GPU
  comm->unsettled = 3;
  *out = comm;
  return kInProgress;
}

Result ncclCommGetAsyncError(Comm comm, Result* result) {
  *result = comm->error;
  if (comm->unsettled > 0 && *result == kSuccess) *result = kInProgress;
  if (OnMachineThread() && comm->unsettled > 0) --comm->unsettled;
  return kSuccess;
}

Result ncclCommFinalize(Comm comm) {
  if (!Ready(comm, "Finalize")) return comm->error;
  if (comm->open > 0) Refuse("a communicator is finalized with operations in flight");
  return Settling(comm);
}
Result ncclCommDestroy(Comm comm) {
  delete comm;
  return kSuccess;
}
Result ncclCommAbort(Comm comm) {
  comm->aborted = true;
  return kSuccess;
}

Result ncclAllReduce(const void* in, void* out, size_t n, DataType type, RedOp op, Comm comm,
                     cudaStream_t stream) {
  return Enqueue(comm, {"AllReduce", in, out, n, type, op}, 1, 1, stream);
}
Result ncclReduceScatter(const void* in, void* out, size_t n, DataType type, RedOp op, Comm comm,
                         cudaStream_t stream) {
  return Enqueue(comm, {"ReduceScatter", in, out, n, type, op}, comm->size, 1, stream);
}
Result ncclAllGather(const void* in, void* out, size_t n, DataType type, Comm comm,
                     cudaStream_t stream) {
  return Enqueue(comm, {"AllGather", in, out, n, type}, 1, comm->size, stream);
}
Result ncclBroadcast(const void* in, void* out, size_t n, DataType type, int root, Comm comm,
                     cudaStream_t stream) {
  return Enqueue(comm, {"Broadcast", in, out, n, type, kSum, root}, 1, 1, stream);
}
Result ncclSend(const void* data, size_t n, DataType type, int peer, Comm comm,
                cudaStream_t stream) {
  return Message1(comm, const_cast<void*>(data), n, type, peer, stream, true);
}
Result ncclRecv(void* data, size_t n, DataType type, int peer, Comm comm, cudaStream_t stream) {
  return Message1(comm, data, n, type, peer, stream, false);
}
Result ncclGroupStart() {
  ++g_group;
  return kSuccess;
}
Result ncclGroupEnd() {
  if (--g_group > 0) return kSuccess;
  if (g_group < 0) Refuse("GroupEnd without GroupStart");
  // All of a group at once: one piece of work.
  auto all = std::make_shared<std::vector<std::shared_ptr<Flight>>>();
  cudaStream_t stream = nullptr;
  for (auto& [its, flight] : g_grouped) {
    if (!all->empty() && its != stream) Refuse("a group on several streams");
    stream = its;
    all->push_back(std::move(flight));
  }
  g_grouped.clear();
  if (all->empty()) return kSuccess;
  Push(stream, {nullptr, nullptr, [all] {
                  std::erase_if(*all, [](const auto& flight) { return flight->Poll(); });
                  return all->empty();
                }});
  return kSuccess;
}

// A real GPU goes on while its host waits for other ranks.
int MPI_Testall(int count, MPI_Request requests[], int* flag, MPI_Status statuses[]) {
  ProgressForOthers();
  return PMPI_Testall(count, requests, flag, statuses);
}

}  // extern "C"
