// SPDX-License-Identifier: Apache-2.0
// Losses and gradients of an independent implementation: tests/peers/torch_model.py, and for
// denoisers torch_denoiser.py, computes them with PyTorch from the weights and the made-up batch that
// this test uses, and writes tests/engine/golden/<case>.json. TL_GOLDEN_DUMP=DIR makes this test write
// those weights to DIR.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors.h"
#include "comm/mesh.h"
#include "nn/patches.h"
#include "objective/preconditioning.h"
#include "tests/engine/regression_rig.h"
#include "tests/kernels/test_device.h"
#include "train/stepper.h"

namespace tl {
namespace {

constexpr int64_t kSteps = 5;

// Tokens by a formula that the script repeats.
class FormulaTokens : public DataSource {
 public:
  FormulaTokens(int64_t vocab, bool packed) : vocab_(vocab), packed_(packed) {}

  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    out->count = count;
    out->sequence_length = length;
    out->lookahead = lookahead;
    out->inputs.clear();
    out->positions.clear();
    out->segments.clear();
    out->targets_storage.clear();
    for (int64_t s = first; s < first + count; ++s) {
      for (int64_t t = 0; t < length; ++t) {
        const bool second = packed_ && t >= kCut;
        out->inputs.push_back(Token(s, t));
        out->positions.push_back(static_cast<int32_t>(second ? t - kCut : t));
        out->segments.push_back(second);
        const bool masked = (s + t) % 11 == 0 || (packed_ && t == kCut - 1);
        out->targets_storage.push_back(masked ? -1 : Token(s, t + 1));
      }
    }
    return absl::OkStatus();
  }
  int64_t SampleCount(int64_t) const override { return -1; }
  int64_t TokenCount() const override { return 0; }
  double BytesPerToken() const override { return 0.0; }

 private:
  static constexpr int64_t kCut = 13;
  int32_t Token(int64_t s, int64_t t) const {
    return static_cast<int32_t>((31 * s * s + 7 * t * t + 3 * t * s + 13 * t) % vocab_);
  }
  int64_t vocab_;
  bool packed_;
};

Config CaseConfig(const std::string& name) {
  Config config;
  config.run.device = TestDeviceName();
  config.model = {.layers = 2, .hidden = 48, .heads = 4, .kv_heads = 2, .ffn = 80, .vocab = 97};
  config.model.head_dim = 32;
  config.model.init_std = 0.08;
  if (name == "qwen2") {
    config.model.qkv_bias = true;
    config.model.tie_embeddings = false;
  } else if (name == "qwen3") {
    config.model.qk_norm = true;
    config.model.norm_eps = 1e-6;
    config.model.rope_theta = 1e6;
  } else if (name == "mistral") {
    config.model.sliding_window = 7;
    config.model.tie_embeddings = false;
  } else if (name == "llama3") {
    config.model.rope_scaling = {.factor = 8.0, .original_context = 64};
    config.train.z_loss = 1e-3;
  } else if (name == "packed") {
    config.data.pack_documents = true;
  }
  config.train.steps = 10;
  config.train.sequence_length = 40;
  config.train.global_batch_size = 4;
  config.train.micro_batch_size = 2;
  config.train.seed = 3;
  config.optimizer.lr = 1e-2;
  config.optimizer.warmup_steps = 2;
  config.optimizer.schedule = ScheduleKind::kLinear;
  return config;
}

// fp32 on one rank: nothing is padded.
void WriteWeights(Engine& engine, const std::string& path) {
  std::vector<TensorInfo> infos;
  std::vector<const float*> values;
  const ParamTable& table = engine.params();
  for (ParamId id = 0; id < table.size(); ++id) {
    for (const PartShard& shard : table[id].shards) {
      TensorInfo info{.name = shard.part->name, .dtype = DType::kF32, .shape = {}};
      for (int i = 0; i < shard.part->shape.rank(); ++i) info.shape.push_back(shard.part->shape[i]);
      infos.push_back(info);
      values.push_back(engine.weights().View(id).as<float>() + shard.offset);
    }
  }
  auto writer = SafetensorsWriter::Create(path, infos, {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  size_t i = 0;
  for (ParamId id = 0; id < table.size(); ++id) {
    for (const PartShard& shard : table[id].shards) {
      const int64_t bytes = shard.local.elements() * static_cast<int64_t>(sizeof(float));
      ASSERT_TRUE((*writer)->Append(values[i++], bytes).ok());
    }
  }
  ASSERT_TRUE((*writer)->Finish().ok());
}

// Writes the weights for PyTorch, if it is asked to.
bool Dumps(Engine& engine, const std::string& name) {
  const char* dump = std::getenv("TL_GOLDEN_DUMP");
  if (dump != nullptr) WriteWeights(engine, std::string(dump) + "/" + name + ".safetensors");
  return dump != nullptr;
}

nlohmann::json ReadGolden(const std::string& name) {
  std::ifstream file(std::string(TL_SOURCE_DIR) + "/tests/engine/golden/" + name + ".json");
  EXPECT_TRUE(file.good()) << "no golden file for " << name;
  return nlohmann::json::parse(file);
}

void ExpectGradient(const nlohmann::json& golden, const std::string& name,
                    const std::vector<double>& g) {
  ASSERT_TRUE(golden["gradients"].contains(name)) << name;
  const auto& want = golden["gradients"][name];
  double squares = 0.0;
  for (const double x : g) squares += x * x;
  const double norm = want["norm"];
  EXPECT_NEAR(std::sqrt(squares), norm, 1e-5 * norm) << name;
  const double rms = norm / std::sqrt(static_cast<double>(g.size()));
  for (const auto& [index, value] : want["samples"].items())
    EXPECT_NEAR(g.at(std::stoull(index)), value.get<double>(), 1e-4 * rms)
        << name << "[" << index << "]";
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, LossesAndGradientsEqualPyTorch) {
  const std::string name = GetParam();
  const Config config = CaseConfig(name);
  auto world = MakeSelfCommunicator();
  auto mesh = Mesh::Create(*world, 1, {.device = TestDevice()});
  ASSERT_TRUE(mesh.ok());
  auto stepper = Stepper::Create(config, *mesh);
  ASSERT_TRUE(stepper.ok()) << stepper.status();
  (*stepper)->Allocate();
  (*stepper)->Initialize();
  if (Dumps((*stepper)->engine(), name)) GTEST_SKIP() << "wrote the weights of " << name;
  const nlohmann::json golden = ReadGolden(name);

  const FormulaTokens data(config.model.vocab, config.data.pack_documents);
  for (int64_t step = 0; step < kSteps; ++step) {
    (*stepper)->on_gradients = [&](Tensor flat) {
      if (step > 0) return;
      const std::vector<float> grads = OnHost((*stepper)->engine().stream(), flat);
      const ParamTable& table = (*stepper)->engine().params();
      for (ParamId id = 0; id < table.size(); ++id) {
        for (const PartShard& shard : table[id].shards) {
          const float* g = grads.data() + table[id].offset + shard.offset;
          ExpectGradient(golden, shard.part->name, {g, g + shard.local.elements()});
        }
      }
    };
    const auto result = (*stepper)->Run(data);
    ASSERT_TRUE(result.ok()) << result.status();
    const double loss = golden["losses"][step];
    EXPECT_NEAR(result->loss, loss, 1e-5 * loss) << "step " << step + 1;
    const double norm = golden["grad_norms"][step];
    EXPECT_NEAR(result->grad_norm, norm, 1e-4 * norm) << "step " << step + 1;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values("llama", "qwen2", "qwen3", "mistral", "llama3", "packed"),
                         [](const auto& info) { return std::string(info.param); });

struct DenoiserCase {
  const char* name;
  const char* process;
  Prediction prediction;
  ModelConfig model;
};

std::vector<DenoiserCase> DenoiserCases() {
  const ModelConfig base = {.layers = 2, .hidden = 48, .heads = 4, .head_dim = 32, .ffn = 80};
  DenoiserCase edm{.name = "edm", .process = "edm", .prediction = Prediction::kEdm, .model = base};
  edm.model.shape = {1, 8, 12};
  edm.model.patch = 4;
  edm.model.classes = 4;
  edm.model.qkv_bias = true;
  DenoiserCase velocity{
      .name = "velocity", .process = "flow", .prediction = Prediction::kVelocity, .model = base};
  velocity.model.shape = {3, 6, 4};
  velocity.model.patch = 2;
  velocity.model.kv_heads = 2;
  velocity.model.qk_norm = true;
  return {edm, velocity};
}

// Pictures, noise, its levels, labels and weights by formulas that the script repeats; what the
// network sees and should give is the trainer's.
HostBatch FormulaPictures(const DenoiserCase& c, int64_t first, int64_t count) {
  const PatchGrid grid = GridOf(c.model);
  const Process process(*FindProcessKind(c.process), {});
  HostBatch batch;
  batch.first_sample = first;
  batch.count = count;
  batch.sequence_length = grid.rows();
  batch.features.resize(static_cast<size_t>(count * kFeatures));
  for (int64_t s = first; s < first + count; ++s) {
    const double noise = std::exp(0.9 * static_cast<double>(s) - 1.5);
    const Coefficients k = CoefficientsAt(process, c.prediction, noise);
    std::vector<float> noisy, target, rows(static_cast<size_t>(grid.values()));
    for (int64_t i = 0; i < grid.values(); ++i) {
      const auto at = static_cast<double>(i), of = static_cast<double>(s);
      const double x = 0.6 * std::sin(0.37 * at + 1.9 * of);
      const double x_hat = x + noise * M_SQRT2 * std::cos(1.3 * at + 0.7 * of * of);
      noisy.push_back(static_cast<float>(k.in * x_hat));
      target.push_back(static_cast<float>(TargetOf(k, x_hat, x)));
    }
    Patchify(grid, noisy.data(), rows.data());
    batch.noisy.insert(batch.noisy.end(), rows.begin(), rows.end());
    Patchify(grid, target.data(), rows.data());
    batch.target.insert(batch.target.end(), rows.begin(), rows.end());
    LevelFeatures(k.level, absl::MakeSpan(batch.features)
                               .subspan(static_cast<size_t>((s - first) * kFeatures), kFeatures));
    batch.labels.push_back(c.model.classes > 0 ? static_cast<int32_t>(2 * s % (c.model.classes + 1))
                                               : -1);
    batch.weight.push_back(s == 1 ? 0.0f : 0.5f + 0.25f * static_cast<float>(s));
    batch.range.push_back(s == 1 ? -1 : static_cast<int32_t>(s % 4));
  }
  return batch;
}

TEST(GoldenDenoiser, LossesAndGradientsEqualPyTorch) {
  for (const DenoiserCase& c : DenoiserCases()) {
    SCOPED_TRACE(c.name);
    constexpr int64_t kCount = 2;
    Regressed model({.model = c.model, .batch = kCount});
    model.SetWeights(RandomParams(c.model));
    if (Dumps(model.engine(), c.name)) continue;
    const nlohmann::json golden = ReadGolden(c.name);
    const reference::Params grads =
        model.Run({FormulaPictures(c, 0, kCount), FormulaPictures(c, kCount, kCount)});
    const double loss = golden["losses"][0];
    EXPECT_NEAR(model.Head().loss, loss, 1e-5 * loss);
    EXPECT_EQ(grads.size(), golden["gradients"].size());
    for (const auto& [name, grad] : grads) ExpectGradient(golden, name, grad);
  }
}

}  // namespace
}  // namespace tl
