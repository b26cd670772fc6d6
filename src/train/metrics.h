// SPDX-License-Identifier: Apache-2.0
// What a training reports of itself, and metrics.jsonl, which keeps it: one JSON object per line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "objective/acceptance.h"
#include "train/append_file.h"

namespace tl {

struct StepReport {
  int64_t step = 0;     // steps done, this one included
  int64_t tokens = 0;   // seen by all ranks since step 0
  float loss = 0.0f;    // what is trained: nats per target, weighted over heads, z-loss included
  bool counted = true;  // some target was; else there is no loss
  std::vector<std::pair<std::string, float>> losses;  // of each head
  std::vector<HeadResult> heads;
  double lr = 0.0;
  double grad_norm = 0.0;  // before clipping; NaN: gradients are not finite
  double loss_scale = 1.0;
  int64_t skipped = 0;  // steps skipped for overflow since step 0
  double step_ms = 0.0;
  double tokens_per_second = 0.0;   // of all ranks
  double samples_per_second = 0.0;  // the same, where samples are values; else 0
  double tflops = 0.0;              // of matrix products, per rank
  double mfu = 0.0;                 // tflops over the rank's measured GEMM rate; 0 where unknown
  int64_t memory_bytes = 0;         // largest resident size of a rank
};

struct EvalReport {
  int64_t step = 0;
  int64_t tokens = 0;                        // as of the step, seen in training
  int64_t eval_targets = 0;                  // targets in the evaluation
  float eval_loss = 0.0f;                    // nats per target; none where there are no targets
  std::optional<double> bits_per_byte = {};  // where data tells its bytes, see BitsPerByte
  // On the screen.
  const char* bits_unit = "bits/byte";
  const char* targets_are = "targets";
  std::vector<HeadResult> heads = {};
  double eval_ms = 0.0;
};

// A line of metrics.jsonl, with its line end. fp32 losses have all their digits (%.9g); NaN and
// infinities, which JSON does not have, are null. losses is an object, head name to loss; heads is
// one too: of each head its targets and its measures; accepted_length is there with heads that
// draft. See objective/acceptance.h.
std::string ToJson(const StepReport& report);
std::string ToJson(const EvalReport& report);

class MetricsFile {
 public:
  // Lines of an existing file up to resume_step are kept, later and torn ones dropped.
  static absl::StatusOr<MetricsFile> Open(const std::string& path, int64_t resume_step);
  absl::Status Write(const StepReport& report) { return file_.Append(ToJson(report)); }
  absl::Status Write(const EvalReport& report) { return file_.Append(ToJson(report)); }
  // The step of the last evaluation that was there at the start; -1: none.
  int64_t last_evaluation() const { return last_evaluation_; }
  // See AppendFile.
  absl::Status Flush() { return file_.Flush(); }
  int64_t waiting() const { return file_.waiting(); }
  int64_t lost() const { return file_.lost(); }

 private:
  MetricsFile(AppendFile file, int64_t last_evaluation)
      : file_(std::move(file)), last_evaluation_(last_evaluation) {}
  AppendFile file_;
  int64_t last_evaluation_;
};

}  // namespace tl
