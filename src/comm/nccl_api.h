// SPDX-License-Identifier: Apache-2.0
// The part of NCCL's C interface that is used here, as NCCL 2.14 and later have it. Declared anew,
// so that a build needs neither its header nor its library: it is looked for when the program runs.
#pragma once

#include <cstddef>
#include <string>

#include "device/cuda.h"

struct ncclComm;

namespace tl::nccl {

using Comm = ::ncclComm*;
struct UniqueId {
  char internal[128];
};

enum Result : int {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7
};
enum DataType : int {
  kUint8 = 1,
  kInt32 = 2,
  kInt64 = 4,
  kFloat16 = 6,
  kFloat32 = 7,
  kFloat64 = 8,
  kBfloat16 = 9
};
enum RedOp : int { kSum = 0, kMax = 2 };

// The head of ncclConfig_t that 2.14 knew; later versions read as much as `size` says.
struct Config {
  size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = 21400;
  int blocking = 0;
};

// X(name, parameters...): ncclName returns a Result.
#define TL_NCCL_CALLS(X)                                                            \
  X(GetVersion, int*)                                                               \
  X(GetUniqueId, UniqueId*)                                                         \
  X(CommInitRankConfig, Comm*, int, UniqueId, int, Config*)                         \
  X(CommGetAsyncError, Comm, Result*)                                               \
  X(CommFinalize, Comm)                                                             \
  X(CommDestroy, Comm)                                                              \
  X(CommAbort, Comm)                                                                \
  X(AllReduce, const void*, void*, size_t, DataType, RedOp, Comm, cudaStream_t)     \
  X(ReduceScatter, const void*, void*, size_t, DataType, RedOp, Comm, cudaStream_t) \
  X(AllGather, const void*, void*, size_t, DataType, Comm, cudaStream_t)            \
  X(Broadcast, const void*, void*, size_t, DataType, int, Comm, cudaStream_t)       \
  X(Send, const void*, size_t, DataType, int, Comm, cudaStream_t)                   \
  X(Recv, void*, size_t, DataType, int, Comm, cudaStream_t)                         \
  X(GroupStart)                                                                     \
  X(GroupEnd)

struct Library {
#define TL_NCCL_MEMBER(name, ...) Result (*name)(__VA_ARGS__) = nullptr;
  TL_NCCL_CALLS(TL_NCCL_MEMBER)
#undef TL_NCCL_MEMBER
  const char* (*GetErrorString)(Result) = nullptr;
  const char* (*GetLastError)(Comm) = nullptr;

  std::string path;    // where it was found
  int version = 0;     // 22809 is 2.28.9
  std::string absent;  // why it cannot be used; empty where it can
};

// Looks up, once, the one that is linked with the program or preloaded, else libnccl.so.2 as
// device/cuda_library.h says.
const Library& GetLibrary();

// Tells what NCCL says of a result; comm: the communicator, null where there is none yet.
std::string ErrorText(Result result, Comm comm);

std::string VersionText(int version);  // "2.28.9"

}  // namespace tl::nccl
