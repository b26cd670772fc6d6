// SPDX-License-Identifier: Apache-2.0
#include "config/parallel.h"

#include "config/section.h"

namespace tl {

ConfigSection ParallelSection() {
  SectionOf<ParallelConfig> s("parallel", "the grid of ranks", &Config::parallel);
  s.Key("tensor", &ParallelConfig::tensor,
        "ranks that share one copy of the model; the data size is ranks / tensor")
      .In({1, 1 << 20})
      .Known({"tensor_model_parallel_size", "tensor_parallel_degree"});
  s.Key("sequence", &ParallelConfig::sequence,
        "split activations between the linears over the tensor ranks")
      .Known({"sequence_parallel"});
  s.Key("bucket_elements", &ParallelConfig::bucket_elements,
        "parameters per gradient bucket: one reduce-scatter each")
      .In(kCount);
  s.Key("transport", &ParallelConfig::transport,
        "between GPUs; auto: nccl, a GPU for each rank; staged: through the host, ranks may share "
        "one")
      .OneOf({"auto", "nccl", "staged"});
  return s.Take();
}

}  // namespace tl
