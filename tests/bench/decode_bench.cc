// SPDX-License-Identifier: Apache-2.0
// Decoding without speculation beside the roof that memory sets it: every token reads the weights
// once. decode_bench [fp32|bf16] prints, for two sizes of model, tokens per second of one sequence,
// bytes of weights per token over the rate at which a buffer of their size is read, measured in
// turns, and the time of verifying more tokens at once.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>

#include "infer/language_model.h"

namespace tl {
namespace {

struct Size {
  const char* name;
  ModelConfig model;
};

constexpr int64_t kContext = 256;
constexpr int64_t kMostRows = 64;

double Seconds(const std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Of the weights that a token needs: all but the rows of an embedding that is looked up in.
int64_t BytesPerToken(const Model& model) {
  const ModelConfig& m = model.options().model;
  const int64_t looked_up = m.tie_embeddings ? 0 : m.vocab * m.hidden;
  return model.weight_bytes() - looked_up * static_cast<int64_t>(SizeOf(model.options().compute));
}

// Reads the buffer once on all threads, each in several streams side by side: one alone does not
// keep the memory busy.
double ReadSeconds(const Buffer& buffer) {
  constexpr int64_t kStreams = 4, kLine = 64 / sizeof(uint64_t);
  const auto* words = reinterpret_cast<const uint64_t*>(buffer.data());
  const int64_t threads = omp_get_max_threads();
  const int64_t each =
      static_cast<int64_t>(buffer.size() / sizeof(uint64_t)) / (threads * kStreams) / kLine * kLine;
  uint64_t sum = 0;
  const auto start = std::chrono::steady_clock::now();
#pragma omp parallel for reduction(+ : sum) schedule(static, 1)
  for (int64_t thread = 0; thread < threads; ++thread) {
    const uint64_t* first = words + thread * kStreams * each;
    uint64_t lanes[kLine] = {};
    for (int64_t i = 0; i < each; i += kLine) {
      for (int64_t s = 0; s < kStreams; ++s) {
#pragma omp simd
        for (int64_t j = 0; j < kLine; ++j) lanes[j] += first[s * each + i + j];
      }
    }
    for (const uint64_t lane : lanes) sum += lane;
  }
  const double seconds = Seconds(start);
  if (sum == 1) std::printf(" ");  // the sum is used
  return seconds;
}

void MeasureSize(const Size& size, DType compute) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  ModelOptions options;
  options.model = size.model;
  options.compute = compute;
  const auto model =
      LanguageModel::Create(options, {.sequences = 1, .context = kContext, .drafts = kMostRows - 1},
                            mesh)
          .value();
  Engine& engine = model->engine();
  for (ParamId id = 0; id < engine.params().size(); ++id) {
    std::vector<float> values(static_cast<size_t>(engine.params()[id].local.elements()));
    InitialValues(engine.params()[id], 1, values.data());
    SetValues(engine.weights().View(id), values.data());
  }
  const int64_t bytes = BytesPerToken(model->model());
  const Buffer buffer = Buffer::Allocate({}, static_cast<size_t>(bytes));
  std::memset(buffer.data(), 1, buffer.size());
  const std::vector<int32_t> prompt(32, 1);
  model->Prefill(prompt, 0, 0);
  RowLogits logits;
  const auto pass = [&](int64_t rows) {
    DecodeBatch batch;
    for (int64_t i = 0; i < rows; ++i) batch.AddNext(2, 32 + i, 0);
    const auto start = std::chrono::steady_clock::now();
    model->Run(batch, {.logits_end = rows}, &logits);
    return Seconds(start);
  };
  double token = 1e30, read = 1e30;
  for (int i = 0; i < 30; ++i) {
    token = std::min(token, pass(1));
    read = std::min(read, ReadSeconds(buffer));
  }
  const auto size_mb = static_cast<double>(bytes) / 1e6;
  std::printf(
      "%s %s: %.1f MB of weights per token, %.2f ms, %.1f tok/s; reading them %.2f ms (%.1f GB/s): "
      "%.0f%% of the roof\n",
      size.name, Name(compute), size_mb, 1e3 * token, 1.0 / token, 1e3 * read, size_mb / 1e3 / read,
      100.0 * read / token);
  for (int64_t rows = 2; rows <= kMostRows; rows *= 2) {
    double best = 1e30;
    for (int i = 0; i < 6; ++i) best = std::min(best, pass(rows));
    std::printf("  %2d tokens in one pass: %.2f ms, %.2f of one token's\n", static_cast<int>(rows),
                1e3 * best, best / token);
  }
}

}  // namespace
}  // namespace tl

int main(int argc, char** argv) {
  using tl::DType;
  const tl::Size sizes[] = {
      {"10M", {.layers = 6, .hidden = 384, .heads = 6, .ffn = 1024, .vocab = 256}},
      {"124M", {.layers = 12, .hidden = 768, .heads = 12, .ffn = 2048, .vocab = 50304}}};
  for (const tl::Size& size : sizes) {
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      if (argc < 2 || std::strcmp(argv[1], tl::Name(compute)) == 0) tl::MeasureSize(size, compute);
    }
  }
}
