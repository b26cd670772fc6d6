// SPDX-License-Identifier: Apache-2.0
// Samples of a trained model of values, into files.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "checkpoint/load.h"
#include "comm/communicator.h"
#include "config/config.h"
#include "infer/samplers.h"

namespace tl {

struct SampleOptions {
  std::string run_dir;
  int64_t count = 16;
  int64_t label = -1;     // the class of all; -1: sample k is of class k mod classes
  double guidance = 1.0;  // see Guided; 1: none
  std::string sampler = "heun";
  SamplerOptions sampling = {};
  uint64_t seed = 1;
  int64_t batch = 16;  // samples that a rank has at once
  std::string out;     // .npy, [count, C, H, W]; empty: none
  bool bytes = false;  // in it bytes, as data of bytes is, else fp32
  std::string grid;    // .png of all; empty: none
  WhichWeights weights = WhichWeights::kAveragedIfThere;
};

// Draws samples 0 .. count - 1, divided over the data ranks, and writes the files on rank 0. A sample
// depends on the seed, its number and its class; on a CPU not on batch and number of data ranks, see
// DenoisingModel::Estimate. Collective.
absl::Status Sample(const SampleOptions& options, const Config& config, Communicator& world);

}  // namespace tl
