// SPDX-License-Identifier: Apache-2.0
#include "train/bench.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "base/host_memory.h"
#include "base/human.h"
#include "base/philox.h"
#include "base/status.h"
#include "device/cuda_device.h"
#include "engine/memory.h"
#include "engine/placement.h"
#include "engine/roof.h"
#include "train/plan_check.h"
#include "train/product_table.h"
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

// Normal values and classes in turn.
class MadeUpValues : public DataSource {
 public:
  MadeUpValues(const ModelConfig& model, uint64_t seed) : model_(model), seed_(seed) {}

  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    out->count = count;
    out->sequence_length = length;
    out->lookahead = lookahead;
    const int64_t size = length * model_.patch_values();
    out->values.resize(count * size);
    out->labels.resize(count);
    out->samples.resize(count);
    for (int64_t b = 0; b < count; ++b) {
      for (int64_t i = 0; i < size; ++i)
        out->values[b * size + i] = PhiloxNormal(seed_, (first + b) * size + i);
      out->labels[b] = model_.classes > 0 ? static_cast<int32_t>((first + b) % model_.classes) : -1;
      out->samples[b] = first + b;
    }
    return absl::OkStatus();
  }
  int64_t SampleCount(int64_t) const override { return -1; }
  int64_t TokenCount() const override { return 0; }
  double BytesPerToken() const override { return 0.0; }

 private:
  ModelConfig model_;
  uint64_t seed_;
};

std::unique_ptr<DataSource> MadeUp(const ModelConfig& model) {
  if (model.of_values()) return std::make_unique<MadeUpValues>(model, 1);
  return std::make_unique<MadeUpTokens>(model.vocab, 1);
}

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The fastest of a few runs of what a stream is given.
double FastestOf(int runs, Stream& stream, const std::function<void()>& work) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    stream.Synchronize();
    const auto start = Clock::now();
    work();
    stream.Synchronize();
    best = std::min(best, SecondsSince(start));
  }
  return best;
}

// Where a step's time goes, from passes by themselves.
struct Phases {
  double forward = 0.0;  // with the loss
  double both = 0.0;     // forward and backward, with the reductions of gradients
};

Phases MeasurePhases(Stepper& stepper, const Config& config, const DataSource& data) {
  Engine& engine = stepper.engine();
  const Model& model = stepper.model();
  HostBatch batch;
  TL_CHECK_OK(data.FillBatch(0, config.train.micro_batch_size, config.train.sequence_length,
                             model.lookahead(), &batch));
  model.objective().Prepare(BatchUse::kTraining, &batch);
  Buffer memory = Buffer::Allocate(engine.stream().device(), sizeof(StepScalars));
  StepScalars scalars;
  CopyBytes(engine.stream(), memory.data(), reinterpret_cast<const std::byte*>(&scalars),
            sizeof(scalars));
  Phases phases;
  phases.forward = FastestOf(3, engine.stream(), [&] { engine.Evaluate(batch); });
  phases.both = FastestOf(3, engine.stream(), [&] {
    engine.grad_sync().BeginStep(1);
    engine.ForwardBackward(batch, reinterpret_cast<const StepScalars*>(memory.data()));
    engine.grad_sync().Finish(engine.stream());
  });
  return phases;
}

void PrintAttention(Stream& stream, DType compute, const AttentionShape& shape) {
  const AttentionRates rates = MeasureAttention(stream, compute, shape);
  std::printf(
      "attention       %10.1f TFLOP/s forward, %.1f backward: batch %lld, %lld heads of %lld, "
      "length %lld, %s\n",
      rates.forward / 1e12, rates.backward / 1e12, static_cast<long long>(shape.batch),
      static_cast<long long>(shape.heads), static_cast<long long>(shape.head_dim),
      static_cast<long long>(shape.length), shape.mask == MaskKind::kNone ? "full" : "causal");
}

// Sequences of 1k to 16k, 16k tokens at once, hidden 2048.
void SweepAttention(Stream& stream, DType compute) {
  for (const int64_t d : {64, 128}) {
    for (const MaskKind mask : {MaskKind::kCausal, MaskKind::kNone}) {
      for (int64_t length = 1024; length <= 16384; length *= 2) {
        PrintAttention(stream, compute,
                       {.batch = 16384 / length,
                        .heads = 2048 / d,
                        .kv_heads = 2048 / d,
                        .length = length,
                        .head_dim = d,
                        .mask = mask});
      }
    }
  }
}

}  // namespace

absl::Status Bench(const Config& config, const BenchOptions& options, Communicator& world) {
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(config, world));
  TL_ASSIGN_OR_RETURN(auto stepper, Stepper::Create(config, mesh));
  const std::vector<MemoryRow> plan = stepper->MemoryPlan();
  TL_RETURN_IF_ERROR(CheckPlan(config, *stepper, mesh));
  const MemoryRoom room = FindMemory(mesh);
  stepper->Allocate();
  stepper->Initialize();
  const Device device = mesh.place().device;
  const DType compute = stepper->model().options().compute;
  const std::unique_ptr<DataSource> made_up = MadeUp(config.model);
  const DataSource& data = *made_up;
  std::vector<double> seconds;
  MemoryTaken taken;
  for (int64_t i = 0; i < options.warmup + options.steps; ++i) {
    const auto start = Clock::now();
    TL_RETURN_IF_ERROR(stepper->Run(data).status());
    if (i >= options.warmup) seconds.push_back(SecondsSince(start));
    if (i == 0 && device.type == DeviceType::kCuda) taken = FindTaken(room, plan, device.index);
  }
  const int64_t counted =
      device.type == DeviceType::kCuda ? cuda::PeakBytes(device.index) : PeakResidentMemory();
  std::vector<MatmulMade> products;
  MatmulChoices(stepper->engine().stream(), {.made = &products});
  const double parameters = stepper->model().params().parameters();
  const double flops_per_token = stepper->model().plan().flops_per_token();
  const Phases phases = MeasurePhases(*stepper, config, data);
  stepper.reset();  // its memory is wanted
  Stream stream = Stream::On(device);
  const double gemm = MeasureGemmRate(stream, compute);
  const MemoryRoom free = FindMemory(mesh);
  const CopyRate copy = MeasureCopyRate(stream, free.bytes / free.ranks / 2);
  if (world.rank() != 0) return absl::OkStatus();

  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const auto tokens =
      static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  const double work = tokens * flops_per_token / world.size();
  const double rate = work / median;
  std::printf("%s, %s parameters, %d rank(s) x %d thread(s), %s per step of %.0f tokens\n",
              Name(config.precision.compute), HumanCount(parameters).c_str(), world.size(),
              omp_get_max_threads(), HumanTime(median).c_str(), tokens);
  std::printf("device          %s\n", Describe(mesh).c_str());
  std::printf("step            %10.1f ms (median of %lld; fastest %.1f, slowest %.1f)\n",
              median * 1e3, static_cast<long long>(options.steps), seconds.front() * 1e3,
              seconds.back() * 1e3);
  const double passes = static_cast<double>(config.train.global_batch_size) /
                        static_cast<double>(config.train.micro_batch_size * mesh.data_size());
  std::printf("phases          %10.1f ms forward, %.1f backward, %.1f the rest (update, data)\n",
              passes * phases.forward * 1e3, passes * (phases.both - phases.forward) * 1e3,
              std::max(0.0, median - passes * phases.both) * 1e3);
  std::printf("tokens/s        %10.0f\n", tokens / median);
  if (config.model.of_values())
    std::printf("samples/s       %10.1f\n",
                static_cast<double>(config.train.global_batch_size) / median);
  std::printf("matrix products %10.0f GFLOP/s per rank, %.1f %% of the roof; %.2f GFLOP per step\n",
              rate / 1e9, 100.0 * rate / gemm, work / 1e9);
  if (const double peak = DensePeak(device, compute); peak > 0.0)
    std::printf("MFU             %10.1f %% of the dense peak, %.0f TFLOP/s\n", 100.0 * rate / peak,
                peak / 1e12);
  std::printf("roof            %10.0f GFLOP/s per rank (GEMM, this process)\n", gemm / 1e9);
  std::printf("copy            %10.1f GB/s per rank (read + write, %s at a time, this process)\n",
              copy.bytes_per_second / 1e9, HumanBytes(copy.bytes).c_str());
  int64_t planned = 0;
  for (const MemoryRow& row : plan) planned += row.bytes;
  std::printf("memory          %s planned, %s %s\n", HumanBytes(planned).c_str(),
              HumanBytes(counted).c_str(),
              device.type == DeviceType::kCuda ? "allocated at most" : "resident at most");
  for (const MemoryRow& row : plan)
    std::printf("    %-36s %12s\n", row.name.c_str(), HumanBytes(row.bytes).c_str());
  if (device.type == DeviceType::kCuda)
    std::printf("device memory   %s, after the first step\n", Describe(taken).c_str());
  const ModelConfig& m = config.model;
  PrintAttention(
      stream, compute,
      {.batch = config.train.micro_batch_size,
       .heads = m.heads / config.parallel.tensor,
       .kv_heads = std::max<int64_t>(1, m.kv_heads_or_default() / config.parallel.tensor),
       .length = config.train.sequence_length,
       .head_dim = m.head_dim_or_default(),
       .mask = m.of_values() ? MaskKind::kNone : MaskKind::kCausal});
  std::fflush(stdout);
  std::fputs(ProductTable(TimeProducts(stream, products)).c_str(), stdout);
  if (options.attention > 0) SweepAttention(stream, compute);
  return absl::OkStatus();
}

}  // namespace tl
