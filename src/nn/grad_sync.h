// SPDX-License-Identifier: Apache-2.0
// Gradients made one over the grid while the backward pass goes on: a bucket whose last gradient of
// the last micro-batch is there is summed over the data group, each rank keeping its own part
// (ZeRO-1, Rajbhandari et al. 2020).
#pragma once

#include <vector>

#include "comm/mesh.h"
#include "device/device.h"
#include "nn/params.h"

namespace tl {

class GradSync {
 public:
  // grads: the flat fp32 buffer of table.trainable_elements(). All outlive this. Of frozen
  // parameters it knows nothing.
  GradSync(const ParamTable& table, Mesh& mesh, Stream& comm_stream, Tensor grads);

  // Of a step with this many micro-batches; forgets the last step.
  void BeginStep(int micro_batches);
  // The gradient's place. *accumulate: false for the first addition of the step.
  Tensor Grad(ParamId id, bool* accumulate);
  // One use of the parameter has added its gradient.
  void Done(ParamId id, Stream& stream);
  // One use has nothing to add, whatever memory holds.
  void Skip(ParamId id, Stream& stream);
  // Starts what is left, and orders all of it before later work on the stream.
  void Finish(Stream& stream);

  // This rank's part of a bucket: [begin, end) in the flat buffers.
  void Part(int bucket, int64_t* begin, int64_t* end) const;
  // Of a GradSync for such a table, before there is one.
  static int64_t WorkspaceBytes(const ParamTable& table);

 private:
  void Reduce(int index, Stream& stream);  // the bucket of this index
  void ReduceOverTensorGroup(const Bucket& bucket, TensorReduce kind, int replicas, Stream& stream);

  const ParamTable& table_;
  Mesh& mesh_;
  Stream& comm_stream_;
  Tensor grads_;
  Buffer packed_;          // the small gradients that are summed over tensor ranks
  std::vector<int> left_;  // additions still to come, per parameter
  std::vector<bool> touched_;
  std::vector<int> open_;  // incomplete parameters per bucket
  std::vector<bool> reduced_;
};

}  // namespace tl
