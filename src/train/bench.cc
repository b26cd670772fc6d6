#include "train/bench.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "base/philox.h"
#include "base/status.h"
#include "engine/memory.h"
#include "engine/roof.h"
#include "train/progress.h"
#include "train/stepper.h"

namespace tl {
namespace {

// Tokens that depend on their place alone: nothing is read from disk.
class MadeUpTokens : public DataSource {
 public:
  MadeUpTokens(int64_t vocab, uint64_t seed) : vocab_(vocab), seed_(seed) {}

  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    out->count = count;
    out->sequence_length = length;
    out->lookahead = lookahead;
    const int64_t row = length + lookahead;
    out->tokens.resize(count * row);
    out->inputs.resize(count * length);
    out->positions.resize(count * length);
    out->segments.assign(count * length, 0);
    out->targets_storage.resize(lookahead * count * length);
    for (int64_t b = 0; b < count; ++b) {
      for (int64_t t = 0; t < row; ++t) {
        const uint32_t word = Philox(seed_, (first + b) * row + t, 0).w[0];
        out->tokens[b * row + t] = static_cast<int32_t>(word % static_cast<uint64_t>(vocab_));
      }
      for (int64_t t = 0; t < length; ++t) {
        out->inputs[b * length + t] = out->tokens[b * row + t];
        out->positions[b * length + t] = static_cast<int32_t>(t);
        for (int64_t k = 0; k < lookahead; ++k)
          out->targets_storage[(k * count + b) * length + t] = out->tokens[b * row + t + k + 1];
      }
    }
    return absl::OkStatus();
  }
  int64_t SampleCount(int64_t) const override { return -1; }
  int64_t TokenCount() const override { return 0; }
  double BytesPerToken() const override { return 0.0; }

 private:
  int64_t vocab_;
  uint64_t seed_;
};

}  // namespace

absl::Status Bench(const Config& config, const BenchOptions& options, Communicator& world) {
  using Clock = std::chrono::steady_clock;
  TL_ASSIGN_OR_RETURN(Mesh mesh, Mesh::Create(world, config.parallel.tensor));
  TL_ASSIGN_OR_RETURN(const auto stepper, Stepper::Create(config, mesh));
  TL_RETURN_IF_ERROR(CheckMemory(stepper->MemoryPlan(), stepper->engine().options().device, world));
  stepper->Allocate();
  stepper->Initialize();
  Engine& engine = stepper->engine();
  const double gemm = MeasureGemmRate(engine.stream(), engine.options().compute);
  const double copy = MeasureCopyRate(engine.stream());
  const MadeUpTokens data(config.model.vocab, 1);
  std::vector<double> seconds;
  for (int64_t i = 0; i < options.warmup + options.steps; ++i) {
    const auto start = Clock::now();
    TL_RETURN_IF_ERROR(stepper->Run(data).status());
    if (i >= options.warmup)
      seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  if (world.rank() != 0) return absl::OkStatus();
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const auto tokens =
      static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  const double rate = tokens * TrainFlopsPerToken(config.model, config.train.sequence_length) /
                      median / world.size();
  std::printf("%s, %s parameters, %d rank(s) x %d thread(s), %s per step of %.0f tokens\n",
              Name(config.precision.compute),
              HumanCount(static_cast<double>(ParameterCount(config.model))).c_str(), world.size(),
              omp_get_max_threads(), HumanTime(median).c_str(), tokens);
  std::printf("step            %10.1f ms (median of %lld; fastest %.1f, slowest %.1f)\n",
              median * 1e3, static_cast<long long>(options.steps), seconds.front() * 1e3,
              seconds.back() * 1e3);
  std::printf("tokens/s        %10.0f\n", tokens / median);
  std::printf("matrix products %10.0f GFLOP/s per rank, %.1f %% of the roof\n", rate / 1e9,
              100.0 * rate / gemm);
  std::printf("roof            %10.0f GFLOP/s per rank (GEMM, this process)\n", gemm / 1e9);
  std::printf("copy            %10.1f GB/s per rank (read + write, this process)\n", copy / 1e9);
  return absl::OkStatus();
}

}  // namespace tl
