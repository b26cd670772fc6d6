// SPDX-License-Identifier: Apache-2.0
#include "kernels/head_metrics.h"

#include "kernels/cuda/block_sums.h"
#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 512;

// One block: the rows of a micro-batch are few, and the order of the sums is fixed.
__global__ void __launch_bounds__(kThreads)
    HeadMetricsKernel(double* sums, int32_t* alive, const float* losses, const int32_t* targets,
                      const int32_t* greedy, const int32_t* rank, const int32_t* main, int64_t rows,
                      int64_t offset, int64_t length) {
  __shared__ double parts[kThreads];
  double mine[kHeadSums] = {};
  for (int64_t n = threadIdx.x; n < rows; n += kThreads) {
    const HeadRow row = JudgeRow(n, alive[n], targets, greedy, rank, main, offset, length);
    alive[n] = row.alive;
    mine[0] += losses[n];
    mine[1] += row.target;
    mine[2] += row.top1;
    mine[3] += row.top5;
    mine[4] += row.compared;
    mine[5] += row.agreed;
    mine[6] += row.reached;
    mine[7] += row.reached && row.agreed;
  }
  AddBlockSums(sums, mine, parts);
}

}  // namespace

void HeadMetrics(Stream& stream, const HeadMetricsArgs& args) {
  const int64_t rows = args.targets.shape[0];
  Launch(HeadMetricsKernel, 1, kThreads, 0, stream, args.sums.as<double>(),
         args.alive.as<int32_t>(), args.losses.as<float>(), args.targets.as<int32_t>(),
         args.greedy.as<int32_t>(), args.rank.as<int32_t>(), args.main.as<int32_t>(), rows,
         args.offset, args.sequence_length);
}

}  // namespace tl::cuda
