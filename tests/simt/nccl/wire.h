// SPDX-License-Identifier: Apache-2.0
// Messages of NCCL's stand-in between processes, and its arithmetic.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "comm/nccl_api.h"
#include "device/dtype.h"
#include "tests/simt/machine.h"

namespace tl::simt {

using namespace tl::nccl;  // NOLINT: this is its other half

using Bytes = std::vector<std::byte>;

inline constexpr int kBootstrap = 1 << 30;
inline constexpr int kNumbers = 128;  // communicators of one root that live at once

inline int WorldRank() {
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

// From any thread.
inline void Refuse(const std::string& what) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  Report("NCCL stand-in: " + what);
}

inline size_t SizeOfType(DataType type) {
  switch (type) {
    case kUint8:
      return 1;
    case kFloat16:
    case kBfloat16:
      return 2;
    case kInt32:
    case kFloat32:
      return 4;
    case kInt64:
    case kFloat64:
      return 8;
  }
  Refuse("unknown type " + std::to_string(type));
  return 1;
}

// What all ranks of a call must agree on; goes before every message.
struct Header {
  char call[16] = {};
  int64_t count = 0;
  int32_t type = 0, op = 0, root = 0, unused = 0;
};

inline std::string Text(const Header& h) {
  return std::string(h.call) + " of " + std::to_string(h.count) + " elements of type " +
         std::to_string(h.type) + ", op " + std::to_string(h.op) + ", root " +
         std::to_string(h.root);
}

// One message of a known order between two ranks.
struct Message {
  int peer = 0;  // in the world
  int tag = 0;
  Bytes bytes;
  MPI_Request request = MPI_REQUEST_NULL;
  bool done = false;
};

inline void Start(Message& m) {
  PMPI_Isend(m.bytes.data(), static_cast<int>(m.bytes.size()), MPI_BYTE, m.peer, m.tag,
             MPI_COMM_WORLD, &m.request);
}
inline bool Sent(Message& m) {
  int done = 0;
  PMPI_Test(&m.request, &done, MPI_STATUS_IGNORE);
  return done;
}
inline bool Received(Message& m) {
  if (m.done) return true;
  int found = 0, size = 0;
  MPI_Message message;
  MPI_Status status;
  PMPI_Improbe(m.peer, m.tag, MPI_COMM_WORLD, &found, &message, &status);
  if (!found) return false;
  PMPI_Get_count(&status, MPI_BYTE, &size);
  m.bytes.resize(size);
  PMPI_Mrecv(m.bytes.data(), size, MPI_BYTE, &message, MPI_STATUS_IGNORE);
  return m.done = true;
}

inline Bytes Pack(const Header& header, const std::byte* data, size_t bytes) {
  Bytes out(sizeof(header) + bytes);
  std::memcpy(out.data(), &header, sizeof(header));
  if (bytes > 0) std::memcpy(out.data() + sizeof(header), data, bytes);
  return out;
}

// Checks that a message belongs to the same call; its payload.
inline const std::byte* Unpack(const Message& m, const Header& mine, size_t bytes) {
  Header theirs;
  if (m.bytes.size() >= sizeof(theirs)) std::memcpy(&theirs, m.bytes.data(), sizeof(theirs));
  if (std::memcmp(&mine, &theirs, sizeof(mine)) != 0 || m.bytes.size() != sizeof(mine) + bytes) {
    Refuse("world rank " + std::to_string(WorldRank()) + " calls " + Text(mine) +
           ", but world rank " + std::to_string(m.peer) + " calls " + Text(theirs));
    std::exit(1);
  }
  return m.bytes.data() + sizeof(mine);
}

template <typename T>
T Apply(T a, T b, RedOp op) {
  if constexpr (std::is_same_v<T, BF16> || std::is_same_v<T, F16>) {
    return FromFloat<T>(Apply(ToFloat(a), ToFloat(b), op));
  } else if constexpr (std::is_floating_point_v<T>) {
    return op == kSum ? a + b : std::fmax(a, b);
  } else {
    return op == kSum ? a + b : std::max(a, b);
  }
}

// acc = acc op x, elements [begin, end).
template <typename T>
void Reduce(std::byte* acc, const std::byte* x, int64_t begin, int64_t end, RedOp op) {
  for (int64_t i = begin; i < end; ++i) {
    reinterpret_cast<T*>(acc)[i] =
        Apply(reinterpret_cast<T*>(acc)[i], reinterpret_cast<const T*>(x)[i], op);
  }
}
inline void Reduce(std::byte* acc, const std::byte* x, int64_t begin, int64_t end, DataType type,
                   RedOp op) {
  switch (type) {
    case kFloat32:
      return Reduce<float>(acc, x, begin, end, op);
    case kFloat64:
      return Reduce<double>(acc, x, begin, end, op);
    case kBfloat16:
      return Reduce<BF16>(acc, x, begin, end, op);
    case kFloat16:
      return Reduce<F16>(acc, x, begin, end, op);
    case kInt32:
      return Reduce<int32_t>(acc, x, begin, end, op);
    case kInt64:
      return Reduce<int64_t>(acc, x, begin, end, op);
    default:
      Refuse("no reduction of type " + std::to_string(type));
  }
}

// Device memory that an operation reads or writes.
struct Range {
  std::byte* data = nullptr;
  size_t bytes = 0;
};

inline void CheckRange(const char* call, const Range& x) {
  if (x.bytes == 0) return;
  const Allocation* a = FindAllocation(x.data);
  if (a == nullptr || a->pinned_host) return Refuse(std::string(call) + " outside device memory");
  if (x.data + x.bytes > a->data + a->bytes) Refuse(std::string(call) + ": out of bounds");
}

}  // namespace tl::simt
