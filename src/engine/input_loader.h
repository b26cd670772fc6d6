// SPDX-License-Identifier: Apache-2.0
// Copies batches to the device: the inputs of passes.
#pragma once

#include <functional>
#include <vector>

#include "nn/batch.h"
#include "nn/step.h"

namespace tl {

class InputLoader {
 public:
  // Of one pass on the device: of tokens their positions, segments, targets for each offset and
  // inner targets; of values what HostBatch has prepared, in the types of Inputs.
  static int64_t Bytes(const BatchShape& shape, DType compute);

  struct Options {
    DType compute = DType::kF32;
    bool segments = false;
    int64_t classes = 0;
  };
  // passes: whose inputs may wait on the host at once.
  InputLoader(const BatchShape& shape, const Options& options, Device device, int64_t passes);

  // What it returns is valid until the next call, on the stream.
  Inputs Load(Stream& stream, const HostBatch& batch);

 private:
  // Lays a tensor behind those before it; fill writes it on the host.
  Tensor Put(Stream& stream, const Shape& shape, DType dtype,
             const std::function<void(std::byte*)>& fill);
  template <typename T>
  Tensor Copy(Stream& stream, const Shape& shape, const std::vector<T>& values);
  // fp32 values in the compute type.
  Tensor Rounded(Stream& stream, const Shape& shape, const std::vector<float>& values);
  void LoadTokens(Stream& stream, const HostBatch& batch, Inputs* inputs);
  void LoadValues(Stream& stream, const HostBatch& batch, Inputs* inputs);

  BatchShape shape_;
  Options options_;
  Device device_;
  Buffer memory_;
  // Pinned, for a device: so that copies let the host go on. A slot for each pass.
  Buffer host_;
  std::vector<Event> host_read_;  // of each slot
  size_t slot_ = 0;
  int64_t at_ = 0;  // where the next tensor goes
};

}  // namespace tl
