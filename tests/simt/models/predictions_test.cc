// SPDX-License-Identifier: Apache-2.0
// What the shapes of launches say about one H200, where none has been measured: the section
// "Predicted, not measured" of docs/internals/gpu.md. The product's own calls are made at full
// size and written down, not run. TRUNKLINE_WRITE_DOCS=1 writes the section anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <queue>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "config/parse.h"
#include "engine/engine.h"
#include "engine/options.h"
#include "engine/placement.h"
#include "engine/validate.h"
#include "kernels/attention.h"
#include "kernels/cached_attention.h"
#include "kernels/cuda/attention_launch.h"
#include "objective/keys.h"
#include "tests/simt/control.h"

namespace tl {
namespace {

constexpr Device kDevice = {DeviceType::kCuda, 0};
// NVIDIA's data sheets of H100 and H200 (SXM), and the programming guide for compute
// capability 9.0.
constexpr int kProcessors = 132;
constexpr double kFlopsPerSecond = 989e12, kBytesPerSecond = 4.8e12;
constexpr int64_t kSharedBytes = 228 << 10, kReservedBytes = 1 << 10, kRegisters = 65536;
constexpr int64_t kStepTokens = 65536;

struct Model {
  const char* name;
  const char* config;
  std::vector<std::string> settings;  // beside the config's
  int64_t micro_batch;                // sequences of 4096
};
// The last has the shape of Qwen2.5-7B.
const std::vector<Model>& Models() {
  static const auto* models = new std::vector<Model>{
      {"1.5B", "bench-1.5b", {}, 2},
      {"3B", "bench-3b", {}, 1},
      {"7B",
       "bench-3b",
       {"model.layers=28", "model.hidden=3584", "model.heads=28", "model.kv_heads=4",
        "model.ffn=18944", "model.vocab=152064", "model.tie_embeddings=false"},
       1}};
  return *models;
}

Config ConfigOf(const Model& model) {
  std::vector<std::string> settings = model.settings;
  for (const std::string& setting :
       {std::string("run.device=cuda"), std::string("precision.compute=bf16"),
        "train.micro_batch_size=" + std::to_string(model.micro_batch)})
    settings.push_back(setting);
  auto config = LoadConfig(
      AllKeys(), TL_SOURCE_DIR "/configs/" + std::string(model.config) + ".toml", settings);
  TL_CHECK_OK(config.status());
  TL_CHECK_OK(Validate(*config, 1));
  return *config;
}

// Device memory that nobody touches, and tensors in it.
class Memory {
 public:
  Tensor Make(Shape shape, DType dtype) {
    const auto bytes = static_cast<size_t>(shape.elements()) * SizeOf(dtype);
    return Tensor::Contiguous(buffers_.emplace_back(Buffer::Allocate(kDevice, bytes)).data(), shape,
                              dtype, kDevice);
  }

 private:
  std::vector<Buffer> buffers_;
};

// Blocks that a processor holds at once: by threads, shared memory, and registers of which each
// thread has all 255.
int64_t Resident(int64_t threads, int64_t shared_bytes) {
  return std::max<int64_t>(1, std::min({2048 / threads, kRegisters / (threads * 256),
                                        kSharedBytes / (shared_bytes + kReservedBytes)}));
}

// Under a causal mask the i-th of n blocks of keys is seen by n - i blocks of queries. The part of
// the processors' time that is work, where the first blocks of keys of all `columns` go first and
// each block to the processor that is free first.
double CausalFill(int64_t key_blocks, int64_t columns, int64_t resident) {
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>> free;
  for (int64_t i = 0; i < kProcessors * resident; ++i) free.push(0);
  int64_t work = 0, end = 0;
  for (int64_t i = 0; i < key_blocks * columns; ++i) {
    const int64_t steps = key_blocks - i / columns, begin = free.top();
    free.pop();
    free.push(begin + steps);
    work += steps;
    end = std::max(end, begin + steps);
  }
  return static_cast<double>(work) / static_cast<double>(end * kProcessors * resident);
}

std::string BackwardRow(const Model& model) {
  const Config config = ConfigOf(model);
  const ModelConfig& m = config.model;
  const int64_t batch = model.micro_batch, length = config.train.sequence_length;
  const int64_t d = m.head_dim_or_default(), k_heads = m.kv_heads_or_default();
  const simt::RecordLaunches recorded;
  Memory memory;
  const auto queries = [&] { return memory.Make({batch, length, m.heads, d}, DType::kBF16); };
  const auto keys = [&] { return memory.Make({batch, length, k_heads, d}, DType::kBF16); };
  const auto rows = [&] { return memory.Make({batch, m.heads, length}, DType::kF32); };
  Stream stream = Stream::On(kDevice);
  const AttentionBackwardArgs args = {.dq = queries(),
                                      .dk = keys(),
                                      .dv = keys(),
                                      .delta = rows(),
                                      .d_o = queries(),
                                      .o = queries(),
                                      .lse = rows(),
                                      .q = queries(),
                                      .k = keys(),
                                      .v = keys()};
  AttentionBackward(stream, args);
  const auto launches = recorded.Of("::BackwardKernel<");
  if (launches.size() != 1) {
    ADD_FAILURE() << launches.size() << " launches of BackwardKernel";
    return "";
  }
  const simt::RecordedLaunch& launch = launches[0];
  // Columns of blocks, each over all keys.
  const int64_t columns = launch.blocks * cuda::LaunchOf(args)->keys / length;
  const double now =
      CausalFill(launch.blocks / columns, columns,
                 Resident(launch.threads, static_cast<int64_t>(launch.shared_bytes)));
  // Blocks of 128 keys for each head of keys, one on a processor.
  const int64_t blocks_before = length / 128 * batch * k_heads;
  const double before = CausalFill(length / 128, batch * k_heads, 1);
  // Two and a half times the forward pass, half of it masked.
  const double flops = 5.0 * static_cast<double>(batch * m.heads * length * length * d);
  const auto least_ms = [&](double fill) { return 1e3 * flops / kFlopsPerSecond / fill; };
  return absl::StrFormat("| %s, %d × %d | %d | %.0f %% | %.2f | %d | %.0f %% | %.2f |\n",
                         model.name, batch, length, blocks_before, 100 * before, least_ms(before),
                         launch.blocks, 100 * now, least_ms(now));
}

// What the loss's chunks of one micro-batch ask of the weight's gradient and of the tensor cores.
struct LossWork {
  int64_t chunks = 0;
  double gradient_bytes = 0.0;  // read and written
  double flops = 0.0;
};

LossWork RecordLoss(Config config) {
  config.model.layers = 1;
  const simt::RecordLaunches recorded;
  const auto world = MakeSelfCommunicator();
  auto mesh = MakeMesh(config, *world);
  TL_CHECK_OK(mesh.status());
  const ModelOptions options = MakeModelOptions(config, kDevice.type);
  auto model = tl::Model::Declare(options, mesh->grid());
  TL_CHECK_OK(model.status());
  Engine engine(**model, *mesh, /*passes=*/2);
  HostBatch batch;
  batch.count = options.batch;
  batch.sequence_length = options.sequence_length;
  batch.lookahead = (*model)->lookahead();
  const size_t rows = static_cast<size_t>((*model)->rows());
  for (auto* column : {&batch.inputs, &batch.positions, &batch.segments, &batch.targets_storage})
    column->resize(rows);
  const Buffer scalars = Buffer::Allocate(kDevice, 4096);
  // The second adds to the first one's gradients, as all but the first of a step do.
  size_t first = 0;
  engine.grad_sync().BeginStep(2);
  for (int pass = 0; pass < 2; ++pass) {
    first = recorded.products().size();
    engine.ForwardBackward(batch, reinterpret_cast<const StepScalars*>(scalars.data()));
  }
  engine.grad_sync().Finish(engine.stream());
  LossWork work;
  const int64_t vocab = config.model.vocab, weight = vocab * config.model.hidden;
  for (size_t i = first; i < recorded.products().size(); ++i) {
    const simt::RecordedProduct& p = recorded.products()[i];
    if (p.m != vocab && p.n != vocab && p.k != vocab) continue;
    work.flops += 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n * p.k);
    // Logits of as many rows as the weight has columns have its size too, but add to nothing.
    if (p.m * p.n != weight || !p.adds) continue;
    ++work.chunks;
    work.gradient_bytes += 2.0 * static_cast<double>(weight * p.sum_bytes);
  }
  return work;
}

std::string LossRow(const Model& model) {
  const Config config = ConfigOf(model);
  const int64_t rows = model.micro_batch * config.train.sequence_length;
  const LossWork now = RecordLoss(config);
  const double passes = static_cast<double>(kStepTokens) / static_cast<double>(rows);
  const double products_ms = 1e3 * passes * now.flops / kFlopsPerSecond;
  const auto cells = [&](int64_t chunks, double bytes) {
    const double all = passes * bytes, ms = 1e3 * all / kBytesPerSecond;
    return absl::StrFormat("%d | %.0f | %.1f | %.0f %% |", (rows + chunks - 1) / chunks, all / 1e9,
                           ms, 100 * ms / products_ms);
  };
  // As many rows, in multiples of 64, as had 128 MiB of logits.
  const int64_t chunk_before = (int64_t{128} << 20) / (config.model.vocab * 4) / 64 * 64;
  const int64_t chunks_before = (rows + chunk_before - 1) / chunk_before;
  const double bytes_before =
      8.0 * static_cast<double>(chunks_before * config.model.vocab * config.model.hidden);
  const std::string before = cells(chunks_before, bytes_before);
  return absl::StrFormat("| %s, %d × %d | %.0f | %d | %s %s\n", model.name, model.micro_batch,
                         config.train.sequence_length, products_ms, chunk_before,
                         before.substr(before.find('|') + 2),
                         cells(now.chunks, now.gradient_bytes));
}

std::string DecodingRow(int64_t length) {
  constexpr int64_t kHeads = 12, kKeyHeads = 2, kD = 128;
  const simt::RecordLaunches recorded;
  Memory memory;
  const auto queries = [&] { return memory.Make({1, kHeads, kD}, DType::kBF16); };
  const auto cache = [&] { return memory.Make({1, kKeyHeads, length, kD}, DType::kBF16); };
  Stream stream = Stream::On(kDevice);
  const CachedAttentionArgs args = {.o = queries(),
                                    .q = queries(),
                                    .k = cache(),
                                    .v = cache(),
                                    .sequences = memory.Make({1}, DType::kI32),
                                    .prefix = memory.Make({1}, DType::kI32),
                                    .ancestors = memory.Make({1, 4}, DType::kI32)};
  CachedAttention(stream, args);
  // One for each row and head of queries, which read all keys and values of their head.
  constexpr int64_t kBefore = kHeads;
  const double read_before = static_cast<double>(kHeads * length * kD * 2 * 2);
  std::string now;
  int64_t most = 0;
  for (const simt::RecordedLaunch& launch : recorded.Of("")) {
    now += (now.empty() ? "" : " + ") + std::to_string(launch.blocks);
    most = std::max(most, launch.blocks);
  }
  const auto share = [](int64_t blocks) {
    return 100.0 * static_cast<double>(std::min<int64_t>(blocks, kProcessors)) / kProcessors;
  };
  // A block of a tile reads keys and values of all its query heads at once.
  const auto read = static_cast<double>(LaunchOf(args).tiles * length * kD * 2 * 2);
  return absl::StrFormat("| %d | %d | %.0f %% | %.1f | %s | %.0f %% | %.1f |\n", length, kBefore,
                         share(kBefore), read_before / 1e6, now, share(most), read / 1e6);
}

constexpr char kTitle[] = "## Predicted, not measured\n";

std::string Section() {
  std::string text = kTitle;
  text += R"(
From arithmetic alone, for one H200: 132 processors, 989 TFLOP/s of dense bf16 products and 4.8 TB/s
(NVIDIA's data sheet), all taken as if they were reached. `tests/simt/models/predictions_test.cc`
makes the product's own calls at full size on the SIMT machine, which writes the launches down and
runs nothing, and computes the right halves of these tables from their shapes (`ctest -R
unit.simt.predictions`; `TRUNKLINE_WRITE_DOCS=1` writes this section). "Before" is arithmetic about the
code of 2026-11-24. Shapes are those of `configs/bench-*.toml` and of Qwen2.5-7B, in bf16; sequences ×
length are a micro-batch.

Attention's backward pass, causal, one layer and micro-batch. Full: the part of all processors' time
that is work, where the blocks of the first keys, which the most queries see, go first, and a
processor holds as many blocks as have room for 255 registers a thread. ms: its FLOPs at the full
rate on processors so filled, which no kernel reaches.

| | blocks before | full | ms | blocks | full | ms |
|---|---|---|---|---|---|---|
)";
  for (const Model& model : Models()) text += BackwardRow(model);
  text += R"(
The unembedding's products in a step of 65,536 tokens, and what its chunks of rows (`[train]
loss_chunk = 0`) read and write of the weight's fp32 gradient: GB, ms, and part of the products' time.

| | products ms | rows before | GB | ms | part | rows | GB | ms | part |
|---|---|---|---|---|---|---|---|---|---|
)";
  for (const Model& model : Models()) text += LossRow(model);
  text += R"(
Attention over the K/V cache, one layer and one row: 12 query heads of 128, 2 key/value heads. Busy:
processors that have a block. MB: keys and
values read, as `kernels/cached_attention.h` counts them.

| keys | blocks before | busy | MB | blocks | busy | MB |
|---|---|---|---|---|---|---|
)";
  for (const int64_t length : {4096, 32768}) text += DecodingRow(length);
  return text + "\n";
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Predictions, AreThoseOfTheDocs) {
  // As the data sheets have them: kernels choose tiles and grids by these.
  ASSERT_EQ(setenv("TL_SIMT_PROCESSORS", "132", 1), 0);
  ASSERT_EQ(setenv("TL_SIMT_SHARED_KIB", "227", 1), 0);
  ASSERT_EQ(setenv("TL_SIMT_MEMORY_GIB", "131", 1), 0);
  const std::string path = TL_SOURCE_DIR "/docs/internals/gpu.md";
  const std::string section = Section(), page = Read(path);
  std::printf("%s", section.c_str());
  const size_t begin = page.find(kTitle);
  ASSERT_NE(begin, std::string::npos);
  const size_t end = std::min(page.find("\n## ", begin), page.size() - 1) + 1;
  if (std::getenv("TRUNKLINE_WRITE_DOCS") != nullptr)
    std::ofstream(path) << page.substr(0, begin) + section + page.substr(end);
  const std::string now = Read(path);
  EXPECT_NE(now.find(section), std::string::npos)
      << "docs/internals/gpu.md has other figures; TRUNKLINE_WRITE_DOCS=1 writes these";
}

TEST(Predictions, FillIsWhatOneCountsByHand) {
  EXPECT_DOUBLE_EQ(CausalFill(1, 132, 1), 1.0);
  EXPECT_DOUBLE_EQ(CausalFill(1, 66, 1), 0.5);
  EXPECT_DOUBLE_EQ(CausalFill(1, 133, 1), 133.0 / 264);
  // 32 blocks of keys, all at once: 16.5 of 32 steps on average, on 128 of 132.
  EXPECT_DOUBLE_EQ(CausalFill(32, 4, 1), 16.5 / 32 * 128 / 132);
  // 2 and 1 steps: the processors that had one take another.
  EXPECT_DOUBLE_EQ(CausalFill(2, 88, 1), 264.0 / 264);
  EXPECT_EQ(Resident(256, 144 << 10), 1);
  EXPECT_EQ(Resident(128, 48 << 10), 2);
  EXPECT_EQ(Resident(128, 120 << 10), 1);
}

}  // namespace
}  // namespace tl
