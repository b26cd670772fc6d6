// SPDX-License-Identifier: Apache-2.0
// Makes batches of clean values into what a denoiser is trained and measured on. Everything is drawn
// on the host, in fp64, as a function of the seed, the sample's number and the value's place: the
// loss is the same on every grid.
#pragma once

#include <array>
#include <cstdint>

#include "nn/batch.h"
#include "objective/objective.h"
#include "objective/preconditioning.h"
#include "objective/training_times.h"

namespace tl {

struct NoisingOptions {
  Process process;
  Prediction prediction;
  TrainingTimes times;
  int64_t classes = 0;
  double label_drop = 0.0;  // part of the labels that training hides
  uint64_t seed = 1;        // of training; evaluation draws the same for every training
};

class Noising {
 public:
  explicit Noising(const NoisingOptions& options);

  // Fills what HostBatch has of noisy samples:
  //   noisy = in x̂, target = (x - skip x̂) / out of x̂ = x + σ̂ z   (preconditioning.h)
  // with σ̂ by the training's times or, for a bound, even in ln σ̂. Labels that are hidden and those
  // of samples without one become `classes`. Samples without a number are zeros that do not count.
  void Apply(BatchUse use, HostBatch* batch) const;

  const Process& process() const { return options_.process; }
  Prediction prediction() const { return options_.prediction; }
  // Which quarter of ln noise_min .. ln noise_max, 0 to 3.
  int Quarter(double noise) const;

 private:
  // Of one use, so that no two draw the same.
  struct Streams {
    uint64_t point, noise, decoder, label;
  };
  static Streams MakeStreams(const char* use, uint64_t seed);

  NoisingOptions options_;
  std::array<Streams, kBatchUses> streams_;
};

}  // namespace tl
