// SPDX-License-Identifier: Apache-2.0
// Losses and gradients of an independent implementation: tests/peers/torch_model.py computes them
// with PyTorch from the weights and the made-up batch that this test uses, and writes
// tests/engine/golden/<case>.json. TL_GOLDEN_DUMP=DIR makes this test write those inputs to DIR.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors.h"
#include "comm/mesh.h"
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
  if (const char* dump = std::getenv("TL_GOLDEN_DUMP")) {
    WriteWeights((*stepper)->engine(), std::string(dump) + "/" + name + ".safetensors");
    GTEST_SKIP() << "wrote the inputs of " << name << " to " << dump;
  }
  std::ifstream file(std::string(TL_SOURCE_DIR) + "/tests/engine/golden/" + name + ".json");
  ASSERT_TRUE(file.good()) << "no golden file for " << name;
  const nlohmann::json golden = nlohmann::json::parse(file);

  const FormulaTokens data(config.model.vocab, config.data.pack_documents);
  for (int64_t step = 0; step < kSteps; ++step) {
    (*stepper)->on_gradients = [&](Tensor flat) {
      if (step > 0) return;
      const std::vector<float> grads = OnHost((*stepper)->engine().stream(), flat);
      const ParamTable& table = (*stepper)->engine().params();
      for (ParamId id = 0; id < table.size(); ++id) {
        for (const PartShard& shard : table[id].shards) {
          const float* g = grads.data() + table[id].offset + shard.offset;
          const auto& want = golden["gradients"][shard.part->name];
          ASSERT_FALSE(want.is_null()) << shard.part->name;
          double squares = 0.0;
          for (int64_t i = 0; i < shard.local.elements(); ++i) squares += double{g[i]} * g[i];
          const double norm = want["norm"];
          EXPECT_NEAR(std::sqrt(squares), norm, 1e-5 * norm) << shard.part->name;
          const double rms = norm / std::sqrt(static_cast<double>(shard.local.elements()));
          for (const auto& [index, value] : want["samples"].items()) {
            EXPECT_NEAR(g[std::stoll(index)], value.get<double>(), 1e-4 * rms)
                << shard.part->name << "[" << index << "]";
          }
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

}  // namespace
}  // namespace tl
