#include "infer/generate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "base/philox.h"
#include "base/status.h"
#include "checkpoint/run_state.h"
#include "data/blend.h"
#include "engine/memory.h"
#include "engine/options.h"
#include "engine/placement.h"

namespace tl {
namespace {

// softmax(logits / temperature) over the top_k likeliest, drawn with a uniform in (0, 1).
int32_t Sample(const std::vector<float>& logits, double temperature, int64_t top_k, float uniform) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  if (temperature == 0.0) return *std::min_element(order.begin(), order.end(), likelier);
  if (top_k > 0 && top_k < static_cast<int64_t>(order.size())) {
    std::nth_element(order.begin(), order.begin() + top_k, order.end(), likelier);
    order.resize(top_k);
    std::sort(order.begin(), order.end());
  }
  float most = logits[order[0]];
  for (const int32_t id : order) most = std::max(most, logits[id]);
  std::vector<double> weights;
  for (const int32_t id : order) weights.push_back(std::exp((logits[id] - most) / temperature));
  double left = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i < order.size(); ++i) {
    left -= weights[i];
    if (left <= 0.0) return order[i];
  }
  return order.back();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> RunTokenizer(const Config& config) {
  std::vector<BlendFile> files;
  for (const auto* paths : {&config.data.train, &config.data.eval}) {
    for (const WeightedPath& path : *paths) files.push_back({path.path, path.weight});
  }
  TL_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, TokenizerOf(files));
  if (tokenizer == nullptr)
    return absl::FailedPreconditionError(
        "the run's token files do not say which tokenizer made them");
  if (tokenizer->vocab_size() > config.model.vocab)
    return absl::InvalidArgumentError(
        files[0].path + ": made with a vocabulary of " + std::to_string(tokenizer->vocab_size()) +
        ", larger than the model's, " + std::to_string(config.model.vocab));
  return tokenizer;
}

}  // namespace

absl::Status Generate(const std::string& run_dir, const Config& run_config,
                      const GenerateOptions& options, Communicator& world) {
  TL_ASSIGN_OR_RETURN(Mesh mesh, Mesh::Create(world, run_config.parallel.tensor));
  auto tokenizer = RunTokenizer(run_config);
  std::vector<int32_t> ids;
  absl::Status status = tokenizer.status();
  if (status.ok()) status = (*tokenizer)->Encode(options.prompt, &ids);
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, status));
  // A model continues something: without a prompt, the end of a document or token 0.
  if (ids.empty()) ids.push_back(std::max(0, (*tokenizer)->end_id()));

  EngineOptions engine_options = MakeEngineOptions(run_config);
  engine_options.batch = 1;
  engine_options.sequence_parallel = false;
  engine_options.purpose = Plan::Purpose::kInference;
  TL_ASSIGN_OR_RETURN(engine_options.device, ChooseDevice(run_config.run.device, world));
  TL_ASSIGN_OR_RETURN(const auto engine, Engine::Create(engine_options, mesh));
  const std::vector<MemoryRow> memory = {{"weights", engine->weight_bytes()},
                                         {"activations", engine->activation_bytes()},
                                         {"inputs and tables", engine->input_bytes()}};
  TL_RETURN_IF_ERROR(CheckMemory(memory, engine_options.device, world));
  engine->Allocate();
  TL_RETURN_IF_ERROR(
      AgreeOnStatus(world, LoadWeights(CheckpointFolder(run_config, run_dir), engine->params(),
                                       [&](ParamId id, const float* values) {
                                         SetValues(engine->weights().View(id), values);
                                       })));

  const bool print = world.rank() == 0;
  if (print) std::printf("%s", options.prompt.c_str());
  const int64_t context = run_config.train.sequence_length;
  std::vector<float> logits;
  for (int64_t i = 0; i < options.max_tokens; ++i) {
    // Beyond the length it was trained on, the model sees the last tokens.
    const auto size = static_cast<int64_t>(ids.size());
    const int64_t seen = std::min(size, context);
    engine->NextLogits(absl::MakeConstSpan(ids).subspan(size - seen), seen - 1, &logits);
    const float uniform = UniformFromWord(Philox(options.seed, static_cast<uint64_t>(i), 0).w[0]);
    ids.push_back(Sample(logits, options.temperature, options.top_k, uniform));
    if (ids.back() == (*tokenizer)->end_id()) break;
    if (!print) continue;
    const std::string text = (*tokenizer)->Decode(absl::MakeConstSpan(ids).last(1));
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  if (print) std::printf("\n");
  return absl::OkStatus();
}

}  // namespace tl
