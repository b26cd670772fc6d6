// SPDX-License-Identifier: Apache-2.0
// Speed of checkpoints: a shard's write and read beside a plain write and fsync of the same bytes,
// in turns, and what an asynchronous save costs a training; under mpirun the training alone, data
// parallel.
//   build/tests/checkpoint_bench FOLDER [MiB, default 512]
//   mpirun -n 2 build/tests/checkpoint_bench FOLDER
#include <fcntl.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/philox.h"
#include "checkpoint/folder.h"
#include "checkpoint/reader.h"
#include "checkpoint/shard_file.h"
#include "data/blend.h"
#include "data/token_file.h"
#include "train/stepper.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 5;
constexpr int kTrainingRounds = 11;
constexpr int kPlainSteps = 3;  // between two saves

double Seconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void WritePlainly(const std::string& path, const std::vector<float>& values) {
  const File file = OpenFile(path, O_WRONLY | O_CREAT | O_EXCL).value();
  TL_CHECK_OK(WriteAll(file, values.data(), values.size() * sizeof(float), path));
  TL_CHECK_OK(Sync(file, path));
}

// Out of the page cache where the system lets us.
void Forget(const std::string& path) {
  const File file = OpenFile(path, O_RDONLY).value();
  posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
}

void MeasureShard(const std::string& folder, int64_t mebibytes) {
  const int64_t columns = 4096, rows = (mebibytes << 20) / 4 / columns;
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 2654435761u % 1009);
  Manifest manifest;
  manifest.tensors = {{"w", kWeightRole, DType::kF32, {rows, columns}, -1}};
  ShardPiece piece;
  piece.box = Box::Whole({rows, columns});
  piece.end = rows * columns;
  piece.data = reinterpret_cast<const std::byte*>(values.data());
  const std::string checkpoint = folder + "/step_00000001", plain = folder + "/plain";
  std::vector<double> plain_write, shard_write, plain_read, shard_read;
  for (int round = 0; round < kRounds; ++round) {
    fs::remove(plain);
    fs::remove_all(checkpoint);
    fs::create_directories(checkpoint);
    plain_write.push_back(Seconds([&] { WritePlainly(plain, values); }));
    shard_write.push_back(Seconds([&] {
      manifest.files = {WriteShard(checkpoint, "shard_0000.h5", manifest.tensors, {piece}).value()};
      TL_CHECK_OK(FinishCheckpoint(checkpoint, &manifest));
    }));
    Forget(plain);
    Forget(checkpoint + "/shard_0000.h5");
    plain_read.push_back(Seconds([&] {
      const File file = OpenFile(plain, O_RDONLY).value();
      TL_CHECK_OK(ReadAt(file, values.data(), values.size() * sizeof(float), 0, plain));
    }));
    shard_read.push_back(Seconds([&] {
      const auto reader = CheckpointReader::Open(checkpoint).value();
      TL_CHECK_OK(reader->ReadFloats(0, piece.box, 0, piece.end, values.data()));
    }));
  }
  fs::remove(plain);
  fs::remove_all(checkpoint);
  const auto print = [&](const char* what, const std::vector<double>& seconds) {
    const double rate = static_cast<double>(mebibytes) / Median(seconds);
    std::printf("%-34s %7.0f MiB/s, %5.2f of a plain write and fsync\n", what, rate,
                Median(plain_write) / Median(seconds));
  };
  std::printf("%lld MiB, medians of %d rounds, out of the page cache before reading\n",
              static_cast<long long>(mebibytes), kRounds);
  print("plain write and fsync", plain_write);
  print("checkpoint write, checksums, fsync", shard_write);
  print("plain read", plain_read);
  print("checkpoint read, checksums", shard_read);
}

// The model of configs/bench-10m.toml.
Config TrainingConfig(int ranks) {
  Config c;
  c.run.device = "cpu";
  c.model = {.layers = 6, .hidden = 384, .heads = 6, .ffn = 1024, .vocab = 256};
  c.train.steps = 1000;
  c.train.sequence_length = 256;
  c.train.global_batch_size = 8;
  c.train.micro_batch_size = 8 / ranks;
  return c;
}

std::unique_ptr<DataSource> RandomText(const std::string& path) {
  {
    auto writer = TokenFileWriter::Create(path, 256).value();
    writer->StartDocument();
    for (uint64_t i = 0; i < 20000; ++i)
      TL_CHECK_OK(writer->Append({static_cast<int32_t>(Philox(1, i, 0).w[0] % 256)}, 1));
    TL_CHECK_OK(writer->Finish());
  }
  return OpenBlend({.files = {{.path = path}}, .seed = 1, .vocab = 256}).value();
}

void MeasureTraining(Communicator& world, const std::string& folder) {
  Mesh mesh = Mesh::Create(world, 1).value();
  const Config config = TrainingConfig(world.size());
  const auto stepper = Stepper::Create(config, mesh).value();
  stepper->Allocate();
  stepper->Initialize();
  const auto data = RandomText(absl::StrCat(folder, "/text.", world.rank()));
  const auto saves = stepper->OpenCheckpoints({.folder = folder, .keep = 1, .async = true}).value();
  const auto step = [&] { TL_CHECK_OK(stepper->Run(*data).status()); };
  std::vector<double> without, stalls, with, steps_with;
  for (int i = 0; i < 2; ++i) step();
  const auto plain_steps = [&] {
    for (int i = 0; i < kPlainSteps; ++i) without.push_back(Seconds(step));
  };
  plain_steps();
  for (int round = 0; round < kTrainingRounds; ++round) {
    int steps = 0;
    with.push_back(Seconds([&] {
      stalls.push_back(
          Seconds([&] { TL_CHECK_OK(saves->Start(stepper->engine().stream(), stepper->run())); }));
      while (saves->in_flight()) {
        step();
        ++steps;
        TL_CHECK_OK(saves->Poll());
      }
    }));
    steps_with.push_back(steps);
    plain_steps();
  }
  // Against the steps just before and after, as a machine's speed drifts.
  std::vector<double> added;
  for (int round = 0; round < kTrainingRounds; ++round) {
    const auto first = without.begin() + round * kPlainSteps;
    added.push_back(with[round] - steps_with[round] * Median({first, first + 2 * kPlainSteps}));
  }
  auto cpu = static_cast<float>(saves->writer_cpu_seconds() / kTrainingRounds);
  Stream stream = Stream::Cpu();
  world.AllReduce(stream, Tensor::Of(&cpu, {1}));
  if (world.rank() != 0) return;
  const int cores = world.size() * omp_get_max_threads();
  std::printf("training of 10 million parameters on %d ranks of %d threads, a step takes %.1f ms\n",
              world.size(), omp_get_max_threads(), 1e3 * Median(without));
  std::printf("a save stalls it for %.1f ms = %.1f%% of a step\n", 1e3 * Median(stalls),
              100.0 * Median(stalls) / Median(without));
  std::printf("and adds %.1f ms in all; writing takes %.1f ms of CPU = %.1f ms over the cores\n",
              1e3 * Median(added), 1e3 * cpu, 1e3 * cpu / cores);
}

}  // namespace
}  // namespace tl

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: checkpoint_bench FOLDER [MiB]\n");
    return 1;
  }
  const auto world = tl::MakeMpiWorld(&argc, &argv);
  const std::string folder = std::string(argv[1]) + "/checkpoint_bench";
  if (world->rank() == 0) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  TL_CHECK_OK(tl::AgreeOnStatus(*world, {}));
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (world->size() == 1) tl::MeasureShard(folder, argc > 2 ? std::atoll(argv[2]) : 512);
  tl::MeasureTraining(*world, folder);
  TL_CHECK_OK(tl::AgreeOnStatus(*world, {}));
  if (world->rank() == 0) std::filesystem::remove_all(folder);
}
