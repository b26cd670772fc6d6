// SPDX-License-Identifier: Apache-2.0
// Rates of the collectives: mpirun -n 2 comm_bench. GB/s are the bytes one rank sends, per second,
// at the best of several rounds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "comm/communicator.h"
#include "comm/host.h"
#include "comm/reduce.h"

namespace tl {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Main(Communicator& world) {
  Stream stream = Stream::Cpu();
  const auto time = [&](const char* name, DType dtype, int64_t bytes, CollectiveKind kind,
                        const std::function<void()>& run) {
    double best = 1e9;
    const int rounds = bytes > (1 << 20) ? 12 : 200;
    world.ResetStats();
    for (int i = 0; i < rounds; ++i) {
      world.Barrier(stream);
      const double start = Seconds();
      run();
      best = std::min(best, Seconds() - start);
    }
    const CollectiveStats& stats = world.stats()[static_cast<int>(kind)];
    const double sent = static_cast<double>(stats.bytes_sent) / static_cast<double>(stats.calls);
    if (world.rank() == 0)
      std::printf("%-15s %s %11lld bytes %10.1f us %7.2f GB/s\n", name, Name(dtype),
                  static_cast<long long>(bytes), best * 1e6, sent / best / 1e9);
  };
  const int size = world.size();
  constexpr int64_t kMost = 40 << 20;
  Buffer in = Buffer::Allocate({}, kMost), out = Buffer::Allocate({}, kMost);
  std::memset(in.data(), 0, kMost);
  std::memset(out.data(), 0, kMost);
  if (world.rank() == 0) std::printf("%d ranks, %s\n", size, MpiVersion().c_str());
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const int64_t most :
         {int64_t{64}, int64_t{4096}, int64_t{65536}, int64_t{131072}, int64_t{3} << 20, kMost}) {
      const int64_t n = most / static_cast<int64_t>(SizeOf(dtype)) / size * size;
      const Tensor whole = Tensor::Contiguous(in.data(), {n}, dtype);
      const Tensor part = Tensor::Contiguous(out.data(), {n / size}, dtype);
      time("reduce_scatter", dtype, whole.bytes(), CollectiveKind::kReduceScatter,
           [&] { world.ReduceScatter(stream, part, whole); });
      time("all_gather", dtype, whole.bytes(), CollectiveKind::kAllGather,
           [&] { world.AllGather(stream, whole, part); });
      time("all_reduce", dtype, whole.bytes(), CollectiveKind::kAllReduce,
           [&] { world.AllReduce(stream, whole); });
    }
  }
  // The arithmetic alone, out of the cache.
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const int64_t n = (128 << 10) / static_cast<int64_t>(SizeOf(dtype));
    for (const int count : {2, 4}) {
      std::vector<const std::byte*> rows;
      for (int r = 0; r < count; ++r) rows.push_back(in.data() + r * (128 << 10));
      double best = 1e9;
      for (int i = 0; i < 200; ++i) {
        const double start = Seconds();
        ReduceRows(ReduceOp::kSum, dtype, out.data(), rows, n);
        best = std::min(best, Seconds() - start);
      }
      if (world.rank() == 0)
        std::printf("sum of %d rows   %s %7.2f Gelem/s\n", count, Name(dtype),
                    static_cast<double>(n) / best / 1e9);
    }
  }
}

}  // namespace
}  // namespace tl

int main(int argc, char** argv) {
  const auto world =
      tl::LaunchedUnderMpi() ? tl::MakeMpiWorld(&argc, &argv) : tl::MakeSelfCommunicator();
  tl::Main(*world);
}
