// SPDX-License-Identifier: Apache-2.0
#include "engine/options.h"

namespace tl {

DType ComputeType(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return DType::kF32;
    case Precision::kBf16:
      return DType::kBF16;
    case Precision::kFp16:
      return DType::kF16;
  }
  return DType::kF32;
}

ModelOptions MakeModelOptions(const Config& config, DeviceType device) {
  return {.model = config.model,
          .objective = config.objective,
          .compute = ComputeType(config.precision.compute),
          .batch = config.train.micro_batch_size,
          .sequence_length = config.train.sequence_length,
          .sequence_parallel = config.parallel.sequence,
          .blocks = {.recompute = config.train.recompute,
                     .dropout = {.rate = config.train.hidden_dropout,
                                 .seed = static_cast<uint64_t>(config.train.seed)}},
          .z_loss = config.train.z_loss,
          .loss_chunk = config.train.loss_chunk,
          .bucket_elements = config.parallel.bucket_elements,
          .segments = config.data.pack_documents,
          .device = device};
}

}  // namespace tl
