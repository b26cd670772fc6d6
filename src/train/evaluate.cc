// SPDX-License-Identifier: Apache-2.0
#include "train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/logging.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "checkpoint/inputs.h"
#include "checkpoint/run_text.h"
#include "data/token_file.h"
#include "data/token_names.h"
#include "engine/memory.h"
#include "engine/options.h"
#include "engine/placement.h"
#include "objective/acceptance.h"
#include "train/data.h"
#include "train/plan_check.h"
#include "train/progress.h"

namespace tl {
namespace {

// "-" where nothing was counted.
std::string Cell(double value, int digits, bool counted) {
  if (!counted) return "-";
  return std::isnan(value) ? "nan" : absl::StrFormat("%.*f", digits, value);
}

// "0.7123 of 1234" below the titles of a measure and of what it is a fraction of; `wide` where more
// cells follow.
std::string FractionCell(const Measure& m, bool wide) {
  const auto width = static_cast<int>(std::strlen(m.kind->title));
  const int of_width = wide ? static_cast<int>(std::strlen(m.kind->of_title)) + 2 : 0;
  return absl::StrFormat("%*s of %-*d", width, Cell(m.value, 4, m.of > 0), of_width, m.of);
}

// A table with a line per head, and the expected length of accepted drafts.
void PrintHeads(const std::vector<HeadResult>& heads) {
  std::string line = absl::StrFormat("%-12s %9s", "head", "loss"), cells;
  for (const Measure& m : heads.back().measures) {
    if (m.kind->of_title == nullptr) {
      absl::StrAppendFormat(&line, " %7s", m.kind->title);
    } else {
      absl::StrAppend(&cells, "   ", m.kind->title, " of ", m.kind->of_title);
    }
  }
  std::printf("%s%s\n", line.c_str(), cells.empty() ? "   " : cells.c_str());
  for (const HeadResult& h : heads) {
    line = absl::StrFormat("%-12s %9s", h.name, Cell(h.loss, 5, h.targets > 0));
    const char* gap = "   ";
    for (const Measure& m : h.measures) {
      if (m.kind->of_title == nullptr) {
        absl::StrAppendFormat(&line, " %7s", Cell(m.value, 4, m.of > 0));
      } else {
        absl::StrAppend(&line, std::exchange(gap, " "), FractionCell(m, &m != &h.measures.back()));
      }
    }
    std::printf("%s\n", line.c_str());
  }
  if (const std::vector<double> alphas = Acceptances(heads); !alphas.empty())
    std::printf("expected accepted length (tau) %.4f tokens per step\n", AcceptedLength(alphas));
}

// Says of a model whose texts begin with a token whether those of the files do: of the first ones.
void TellBegin(const std::string& run_dir, const Config& config,
               const std::vector<WeightedPath>& files) {
  constexpr int64_t kMostDocuments = 4096;
  if (config.model.of_values()) return;
  const auto text = LoadRunText(run_dir, config);
  if (!text.ok() || !text->rules.adds_begin) return;  // the loss needs no tokenizer
  const int32_t begin = text->rules.begin;
  for (const WeightedPath& f : files) {
    const auto file = TokenFile::Open(f.path);
    if (!file.ok()) continue;
    std::vector<int64_t> starts(
        static_cast<size_t>(std::min((*file)->document_count(), kMostDocuments)));
    const auto count = static_cast<int64_t>(starts.size());
    if (!(*file)->DocumentStarts(0, count, starts.data()).ok()) continue;
    int64_t with = 0;
    for (const int64_t start : starts) {
      int32_t first = -1;
      if (start < (*file)->token_count() &&
          (*file)->ReadTokens(start, 1, config.model.vocab, &first).ok())
        with += first == begin;
    }
    std::printf("%s: %lld of %s%lld document(s) begin with %s, as the model's texts do\n",
                f.path.c_str(), static_cast<long long>(with),
                count < (*file)->document_count() ? "the first " : "",
                static_cast<long long>(count), TokenName(*text->tokenizer, begin).c_str());
  }
}

absl::StatusOr<std::unique_ptr<Model>> Declare(const Config& config, const Mesh& mesh) {
  ModelOptions options = MakeModelOptions(config, mesh.place().device.type);
  options.purpose = Plan::Purpose::kInference;
  return DeclareModel(options, mesh);
}

std::vector<MemoryRow> MemoryPlan(const Model& model, const Mesh& mesh) {
  std::vector<MemoryRow> plan = {{"weights", model.weight_bytes()},
                                 {"activations", model.activation_bytes()},
                                 {"inputs and tables", model.input_bytes()}};
  if (model.options().device == DeviceType::kCpu) {
    plan.push_back({"a batch", HostBatch::Bytes(model.batch_shape())});
    return plan;
  }
  plan.push_back({"scratch of kernels and cuBLASLt", model.scratch_bytes()});
  AddCudaCode(mesh.place().device, &plan);
  AddTransport(mesh, &plan);
  return plan;
}

// Passes over the data, prepared for this use; leaves the engine's head sums summed. Sums the
// constants of the samples into `constant`.
absl::Status RunPasses(Engine& engine, const DataSource& data, int64_t rounds, BatchUse use,
                       ProgressBar& bar, double* constant) {
  const Mesh& mesh = engine.mesh();
  const ModelOptions& o = engine.model().options();
  HostBatch batch;
  engine.ClearHeadSums();
  for (int64_t i = 0; i < rounds; ++i) {
    TL_RETURN_IF_ERROR(AgreeOnStatus(
        mesh.world(), data.FillBatch((i * mesh.data_size() + mesh.data_rank()) * o.batch, o.batch,
                                     o.sequence_length, engine.model().lookahead(), &batch)));
    engine.model().objective().Prepare(use, &batch);
    for (const double c : batch.constant) *constant += c;
    engine.Evaluate(batch);
    bar.Add();
  }
  engine.StartReadingHeads();
  engine.stream().Synchronize();
  return absl::OkStatus();
}

}  // namespace

std::optional<double> BitsPerByte(const EvalResult& result, const DataSource& data) {
  if (data.BytesPerToken() <= 0 || result.targets == 0) return std::nullopt;
  if (!std::isnan(result.bound)) return result.bound / std::numbers::ln2;
  return result.loss / std::numbers::ln2 / data.BytesPerToken();
}

const char* BitsUnit(const ModelConfig& model) {
  return model.of_values() ? "bits/dim" : "bits/byte";
}

absl::StatusOr<EvalResult> Evaluate(Engine& engine, const DataSource& data, int64_t batches) {
  Mesh& mesh = engine.mesh();
  const ModelOptions& o = engine.model().options();
  const bool bounds = engine.model().objective().bounds();
  const int64_t samples = data.SampleCount(o.sequence_length), round = o.batch * mesh.data_size();
  int64_t rounds = (samples + round - 1) / round;
  if (batches > 0) rounds = std::min(rounds, batches);
  ProgressBar bar("evaluate", bounds ? 2 * rounds : rounds, ProgressUnit::kCount);
  double constant = 0.0;
  TL_RETURN_IF_ERROR(RunPasses(engine, data, rounds, BatchUse::kEvaluation, bar, &constant));
  EvalResult result{.loss = 0.0f, .targets = 0, .heads = engine.Heads()};
  result.targets = result.heads[0].targets;
  result.loss = static_cast<float>(result.heads[0].loss);
  if (!bounds || result.targets == 0) return result;
  constant = 0.0;
  TL_RETURN_IF_ERROR(RunPasses(engine, data, rounds, BatchUse::kBound, bar, &constant));
  mesh.group(Axis::kData).AllReduce(engine.stream(), Tensor::Of(&constant, {1}));
  engine.stream().Synchronize();
  result.bound = engine.Heads()[0].loss + constant / static_cast<double>(result.targets);
  return result;
}

absl::Status Evaluate(const EvalOptions& options, const Config& run_config, Communicator& world) {
  const bool from_config = options.data.empty();
  const std::vector<WeightedPath>& paths = from_config ? run_config.data.eval : options.data;
  if (paths.empty())
    return absl::InvalidArgumentError(options.run_dir +
                                      ": its config has no [data] eval, and no file was given");
  const std::string saves = CheckpointFolder(run_config, options.run_dir);
  TL_RETURN_IF_ERROR(
      CheckEvalInputs(from_config ? "data.eval" : "--data", paths, run_config, saves, world));
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(run_config, world));
  // Those it was trained on, where they are still there: the loss of other tokens means nothing.
  std::vector<WeightedPath> files;
  std::error_code ignored;
  for (const WeightedPath& path : run_config.data.train) {
    if (std::filesystem::exists(path.path, ignored)) files.push_back(path);
  }
  files.insert(files.end(), paths.begin(), paths.end());
  TL_RETURN_IF_ERROR(CheckOneKind(run_config, files, world));
  TL_ASSIGN_OR_RETURN(auto data, OpenHeldOutData(run_config, paths, world));
  if (options.samples > 0) data = FirstSamples(std::move(data), options.samples);
  TL_ASSIGN_OR_RETURN(const auto model, Declare(run_config, mesh));
  const auto planner = [&](const Config& other) -> absl::StatusOr<std::vector<MemoryRow>> {
    TL_ASSIGN_OR_RETURN(const auto declared, Declare(other, mesh));
    return MemoryPlan(*declared, mesh);
  };
  TL_RETURN_IF_ERROR(CheckPlan(run_config, *model, MemoryPlan(*model, mesh), planner, mesh));
  Engine engine(*model, mesh);
  TL_ASSIGN_OR_RETURN(const WhichWeights which,
                      LoadWeights(
                          saves, world, model->params(),
                          [&](ParamId id, const float* values) { engine.SetWeights(id, values); },
                          options.weights));
  TL_ASSIGN_OR_RETURN(const EvalResult result, Evaluate(engine, *data, options.batches));
  if (world.rank() != 0) return absl::OkStatus();
  TellBegin(options.run_dir, run_config, paths);
  std::printf("eval_loss %s over %lld %s",
              result.targets > 0 ? absl::StrFormat("%.9g", result.loss).c_str() : "-",
              static_cast<long long>(result.targets),
              run_config.model.of_values() ? "samples" : "targets");
  if (result.targets == 0) LogWarning("every target is masked: there is no loss");
  if (const std::optional<double> bits = BitsPerByte(result, *data)) {
    std::printf(", %.5f %s", *bits, BitsUnit(run_config.model));
  } else if (!std::isnan(result.bound)) {
    std::printf(", at most %.5f nats/dim", result.bound);
  }
  std::printf("%s\n", which == WhichWeights::kAveraged ? ", of the average of weights" : "");
  PrintHeads(result.heads);
  return absl::OkStatus();
}

}  // namespace tl
