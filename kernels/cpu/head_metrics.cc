// SPDX-License-Identifier: Apache-2.0
#include "kernels/head_metrics.h"

#include "kernels/cpu/common.h"

namespace tl::cpu {

void HeadMetrics(Stream&, const HeadMetricsArgs& args) {
  const int64_t rows = args.targets.shape[0];
  int32_t* alive = args.alive.as<int32_t>();
  const float* losses = args.losses.as<float>();
  HeadSums s = {};
  for (int64_t n = 0; n < rows; ++n) {
    const HeadRow row = JudgeRow(n, alive[n], args.targets.as<int32_t>(), args.greedy.as<int32_t>(),
                                 args.rank.as<int32_t>(), args.main.as<int32_t>(), args.offset,
                                 args.sequence_length);
    alive[n] = row.alive;
    s.loss += losses[n];
    s.targets += row.target;
    s.top1 += row.top1;
    s.top5 += row.top5;
    s.compared += row.compared;
    s.agreed += row.agreed;
    s.reached += row.reached;
    s.accepted += row.reached && row.agreed;
  }
  HeadSums& total = *reinterpret_cast<HeadSums*>(args.sums.data);
  total = {total.loss + s.loss,       total.targets + s.targets,   total.top1 + s.top1,
           total.top5 + s.top5,       total.compared + s.compared, total.agreed + s.agreed,
           total.reached + s.reached, total.accepted + s.accepted};
}

}  // namespace tl::cpu
