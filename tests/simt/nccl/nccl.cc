// SPDX-License-Identifier: Apache-2.0
// NCCL's calls that the product makes, over MPI: operations are pieces of a stream's work that are
// done when the messages of all ranks are there. Found by comm/nccl_api.cc as symbols of the
// program.
//
// Sums go around a ring and are rounded at each addition. What is written is full of NaNs from the
// start of an operation to its end, and what is read or written meanwhile by others is reported, as
// are ranks that make different calls. Communicators do not block, and are one thread's at a time:
// see communicator.h.
//
// TL_SIMT_NCCL=hang:R:N lets the Nth operation of world rank R never end; stuck:R:N lets its call
// stay in progress; error:R:N lets its communicator fail.
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

// Between GroupStart and GroupEnd: how deep, what, of whom and where to.
int g_group = 0;
std::vector<std::shared_ptr<Flight>> g_grouped;
Comm g_of_group = nullptr;
cudaStream_t g_stream = nullptr;

Result Enqueue(Comm comm, const Call& call, size_t in_parts, size_t out_parts,
               cudaStream_t stream) {
  const Inside inside(comm, call.name);
  if (const Result ready = Ready(comm, call.name); ready != kSuccess) return ready;
  const size_t part = call.count * SizeOfType(call.type);
  const Range in{static_cast<std::byte*>(const_cast<void*>(call.in)), in_parts * part};
  const Range out{static_cast<std::byte*>(call.out), out_parts * part};
  const auto flight = std::make_shared<Collective>(comm, call, in, out);
  const auto push = [=] { PushInOrder(comm, stream, [flight] { return flight->Poll(); }); };
  if (comm->size > 1 || comm->stuck) return InProgress(comm, push);
  push();
  return kSuccess;
}

Result Message1(Comm comm, void* data, size_t count, DataType type, int peer, cudaStream_t stream,
                bool sends) {
  const Inside inside(comm, "Send or Recv");
  if (g_group == 0) Refuse("Send or Recv outside of a group");
  if (const Result ready = Ready(comm, "Send or Recv"); ready != kSuccess) return ready;
  if (!g_grouped.empty() && (g_of_group != comm || g_stream != stream))
    Refuse("a group of several communicators or on several streams");
  g_of_group = comm;
  g_stream = stream;
  Header header;
  std::strcpy(header.call, "SendRecv");
  header.count = static_cast<int64_t>(count);
  header.type = type;
  const Range range{static_cast<std::byte*>(data), count * SizeOfType(type)};
  g_grouped.push_back(std::make_shared<PointToPoint>(comm, range, header, peer, sends));
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
  *out = comm;
  return InProgress(comm, [] {});
}

// Not a getter alone: who hears that a call is through has completed it.
Result ncclCommGetAsyncError(Comm comm, Result* result) {
  const Inside inside(comm, "CommGetAsyncError");
  *result = comm->error;
  if (*result != kSuccess || comm->unsettled == 0) return kSuccess;
  *result = kInProgress;
  if (!OnMachineThread() || comm->stuck || --comm->unsettled > 0) return kSuccess;
  *result = kSuccess;
  std::exchange(comm->then, nullptr)();
  return kSuccess;
}

Result ncclCommFinalize(Comm comm) {
  const Inside inside(comm, "CommFinalize");
  if (const Result ready = Ready(comm, "CommFinalize"); ready != kSuccess) return ready;
  if (comm->open > 0) Refuse("a communicator is finalized with operations in flight");
  return InProgress(comm, [comm] { comm->finalized = true; });
}
Result ncclCommDestroy(Comm comm) {
  if (comm->unsettled > 0) {
    Refuse("CommDestroy on a communicator that has another call in progress");
    return kInvalidArgument;
  }
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
  if (g_grouped.empty()) return kSuccess;
  // All of a group at once: one piece of work.
  const auto all = std::make_shared<std::vector<std::shared_ptr<Flight>>>();
  all->swap(g_grouped);
  const auto poll = [all] {
    std::erase_if(*all, [](const auto& flight) { return flight->Poll(); });
    return all->empty();
  };
  return InProgress(g_of_group, [poll, comm = g_of_group, stream = g_stream] {
    PushInOrder(comm, stream, poll);
  });
}

// A real GPU goes on while its host waits for other ranks.
int MPI_Testall(int count, MPI_Request requests[], int* flag, MPI_Status statuses[]) {
  ProgressForOthers();
  return PMPI_Testall(count, requests, flag, statuses);
}

}  // extern "C"
