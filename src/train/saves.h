// SPDX-License-Identifier: Apache-2.0
// When a training saves, what a save that fails means, and what a training goes on from.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "train/inputs.h"
#include "train/stepper.h"

namespace tl {

// Gives the stepper its weights and state: of the checkpoint that [checkpoint] resume asks for, of
// [run] init_from, or of the seed. Where bits, data or the objective may differ from those of the
// training that saved, or later checkpoints are in the way, rank 0 says so; another [model] is an
// error (FailedPrecondition). Collective.
absl::Status LoadOrInitialize(const Config& config,
                              const std::map<std::string, std::string>& provenance,
                              const RunInputs& inputs, Stepper& stepper, Communicator& world);

// The saves of a training, by [checkpoint]. All calls are collective and between steps.
class Saves {
 public:
  static absl::StatusOr<Saves> Open(const Config& config,
                                    std::map<std::string, std::string> provenance,
                                    const RunInputs& inputs, Stepper& stepper, Communicator& world);

  // After every step: begins a save where one is due and moves the one in flight on. A save that
  // fails is reported; only max_failed_saves of them in a row are an error. An unhealthy state that
  // may not replace a healthy checkpoint is not saved, which is reported and no failure.
  absl::Status AfterStep();
  // A checkpoint of now, durable when this returns OK. AlreadyExists: see CheckReplacesNoHealthy.
  absl::Status Now();
  // The saves that became durable since the last call.
  struct Durable {
    int64_t step = 0;
    double seconds = 0.0;  // that it took
  };
  std::vector<Durable> TakeDurable() { return std::exchange(durable_, {}); }
  // How long the last save took; negative: there was none. One that runs beside the training ends
  // with the step in which it is done.
  double seconds() const { return seconds_; }

 private:
  Saves(const Config& config, Stepper& stepper, Communicator& world)
      : config_(config.checkpoint), stepper_(&stepper), world_(&world) {}
  absl::Status Begin();
  absl::Status Judge(const absl::Status& save);

  CheckpointConfig config_;
  Stepper* stepper_;
  Communicator* world_;
  std::unique_ptr<Checkpointer> checkpointer_;
  int64_t saving_ = -1;  // the step of the save in flight, or of the last one
  int64_t saved_ = -1;
  std::vector<Durable> durable_;
  int64_t failed_in_a_row_ = 0;
  std::chrono::steady_clock::time_point begun_;
  double seconds_ = -1.0;
};

}  // namespace tl
