// SPDX-License-Identifier: Apache-2.0
// What a person sees of a training: the banner before it and a line per step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/host_memory.h"
#include "config/config.h"
#include "engine/memory.h"
#include "train/metrics.h"

namespace tl {

struct BannerFacts {
  int ranks = 1;
  int threads = 1;  // per rank
  int hosts = 1;
  int64_t parameters = 0;
  double flops_per_token = 0.0;   // of matrix products, of a step
  int64_t train_tokens = 0;       // in [data] train; 0: unknown
  std::string device;             // "CPU, AMD EPYC 9654 (AVX-512, bf16)"
  std::vector<MemoryRow> memory;  // planned, per rank
  int64_t memory_available = 0;   // per rank; 0: unknown
};

// "4 layers, hidden 128, 4 heads of 32, ffn 352, vocab 256, tied".
std::string ModelLine(const ModelConfig& model);
// "bf16, fp32 master weights and Adam state; recompute full".
std::string PrecisionText(const Config& config);

// What is about to run: model, parameters, grid, tokens per step, precision and the memory plan.
std::string Banner(const Config& config, const BannerFacts& facts);
// What is found once the plan's memory is taken: the rate of matrix products, per second and rank
// (0: unknown), and the step that the training goes on after (0: from the start).
std::string BannerEnd(double roof_flops, int64_t resume_step);

// "step  120/2000  loss 1.2345  lr 3.00e-04  norm 0.812  45.1 ms  22.7k tok/s  61% of roof  ETA
// 2m13s", one line. Steps and estimates count towards last_step.
class Progress {
 public:
  explicit Progress(int64_t last_step) : last_step_(last_step) {}
  std::string Line(const StepReport& report);
  // The same of the step that Line has had last, in short: between two lines, for a moment.
  std::string LiveLine(const StepReport& report) const;
  std::string Line(const EvalReport& report) const;

 private:
  std::string Eta(int64_t step) const;

  int64_t last_step_;
  double mean_ms_ = 0.0;
  int64_t skipped_ = 0;
};

}  // namespace tl
