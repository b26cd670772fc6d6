// A run: the sections and keys of the config file, with their defaults. The parser and the table of
// keys that `trunkline help config` prints are in cli/config.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/duration.h"
#include "model/config.h"
#include "nn/recompute.h"
#include "objective/objective.h"
#include "optim/schedule.h"

namespace tl {

struct WeightedPath {
  std::string path;
  double weight = 1.0;
  bool operator==(const WeightedPath&) const = default;
};

struct DataConfig {
  std::vector<WeightedPath> train;
  std::vector<WeightedPath> eval;
  bool pack_documents = false;  // keep attention and positions of packed documents apart
  bool any_tokenizer = false;   // also another than that of the weights it starts from
  bool operator==(const DataConfig&) const = default;
};

struct ParallelConfig {
  int tensor = 1;
  bool sequence = false;  // activations between the linears are split over the tensor group
  int64_t bucket_elements = 4 << 20;  // of a gradient bucket
  std::string transport = "auto";     // between GPUs
  bool operator==(const ParallelConfig&) const = default;
};

enum class Precision : uint8_t { kFp32, kBf16, kFp16 };

struct PrecisionConfig {
  Precision compute = Precision::kFp32;
  double loss_scale = 0.0;  // fp16: 0 = dynamic, else fixed
  double initial_loss_scale = 65536.0;
  int64_t growth_interval = 1000;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  int64_t hysteresis = 1;  // overflows since the scale last grew before it falls
  double min_loss_scale = 1.0;
  bool operator==(const PrecisionConfig&) const = default;
};

struct TrainConfig {
  int64_t steps = 0;
  int64_t sequence_length = 0;
  int64_t global_batch_size = 0;  // sequences per step
  int64_t micro_batch_size = 0;   // sequences per forward pass and data rank
  int64_t seed = 1;
  int64_t eval_every = 0;    // 0: only at the end
  int64_t eval_batches = 0;  // micro batches per data rank and evaluation; 0: the whole of it
  Recompute recompute = Recompute::kNone;
  double hidden_dropout = 0.0;
  double z_loss = 0.0;
  int64_t loss_chunk = 0;  // tokens per chunk of the fused loss; 0: see LossChunk
  bool operator==(const TrainConfig&) const = default;
};

struct OptimizerConfig {
  std::string name = "adamw";
  double lr = 3e-4;
  double min_lr = 0.0;
  int64_t warmup_steps = 0;
  ScheduleKind schedule = ScheduleKind::kCosine;
  double decay_fraction = 0.2;  // wsd: the part of the steps that decays, at the end
  double weight_decay = 0.1;
  bool decay_embeddings = false;
  bool decay_norms = false;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double clip = 1.0;  // 0: none
  bool operator==(const OptimizerConfig&) const = default;
};

struct RunSettings {
  std::string dir;
  std::string device = "auto";
  bool deterministic = false;
  int threads = 0;         // per rank; 0: the cores of the host over its ranks
  int64_t stop_after = 0;  // 0: at [train] steps
  std::string init_from;   // weights only
  int64_t log_every = 1;
  int64_t watchdog_seconds = 600;  // without progress, then a rank ends the job; 0: never
  bool operator==(const RunSettings&) const = default;
};

struct CheckpointConfig {
  std::string dir;               // empty: [run] dir
  int64_t every = 0;             // steps; 0: only at the end
  int64_t keep = 2;              // the newest so many; 0: all
  int64_t keep_every = 0;        // and steps that are multiples; 0: none
  bool async = true;             // training goes on while a checkpoint is written
  int64_t max_failed_saves = 3;  // in a row; then training stops
  std::string resume = "auto";   // "auto", "never" or a path
  Duration time_limit;           // from the program's start, the last save included; 0: none
  bool operator==(const CheckpointConfig&) const = default;
};

struct Config {
  ModelConfig model;
  ObjectiveConfig objective;
  DataConfig data;
  ParallelConfig parallel;
  PrecisionConfig precision;
  TrainConfig train;
  OptimizerConfig optimizer;
  CheckpointConfig checkpoint;
  RunSettings run;
  bool operator==(const Config&) const = default;
};

// What the keys of a valid run must satisfy together, on this number of ranks: the grid divides,
// heads, ffn and batches divide over it, the schedule fits, and everything asked for exists. The
// ranges of single keys are the parser's. Messages name keys, values and what would fit.
absl::Status Validate(const Config& config, int ranks);

// The folder of a run's checkpoints; run_dir: where the run's folder is.
std::string CheckpointFolder(const Config& config, const std::string& run_dir);

// "fp32", "none", "cosine": the names in the config file.
const char* Name(Precision precision);
const char* Name(Recompute recompute);
const char* Name(ScheduleKind schedule);

}  // namespace tl
