// SPDX-License-Identifier: Apache-2.0
// The logits of heads on rows whose past is cached, against the fp64 twin of the whole model. With
// TL_HEADS_DUMP=FOLDER the models are also exported there, beside their logits, for
// tests/peers/heads_check.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "checkpoint/safetensors.h"
#include "tests/convert/memory_source.h"
#include "tests/infer/model_rig.h"
#include "tests/model/cases.h"
#include "tests/reference/objectives.h"

namespace tl {
namespace {

constexpr int64_t kTokens = 24;

struct HeadCase {
  std::string name;
  bool tied = true;
  ObjectiveConfig objective = {};
  std::vector<std::string> formats = {};
};

std::vector<HeadCase> HeadCases() {
  std::vector<HeadCase> cases = {
      {"medusa", false}, {"medusa_shared", true}, {"mtp", false}, {"mtp_stream", true}};
  for (HeadCase& c : cases) {
    ObjectiveConfig& o = c.objective;
    if (c.name.rfind("medusa", 0) == 0) {
      o.name = "medusa";
      o.Set("heads", 3);
      o.Set("residual_layers", 2);
      o.Set("own_unembedding", c.name == "medusa");
      c.formats = {"medusa", "medusa-original", "hf"};
    } else {
      o.name = "sequential_mtp";
      o.Set("depth", 1);
      if (c.name == "mtp_stream") o.Set("hidden", HiddenTap::kStream);
      c.formats = {"mimo"};
    }
  }
  return cases;
}

Config ConfigOf(const HeadCase& c) {
  Config config = ConvertConfig();
  config.model = {.layers = 2,
                  .hidden = 64,
                  .heads = 2,
                  .kv_heads = 1,
                  .head_dim = 32,
                  .ffn = 80,
                  .vocab = 256,
                  .tie_embeddings = c.tied};
  config.objective = c.objective;
  return config;
}

// Of every head and token, [heads, tokens, vocab]; zeros where a head sees no token.
std::vector<std::vector<float>> HeadLogits(const Config& config, const reference::Params& params,
                                           const std::vector<int32_t>& tokens) {
  const auto world = MakeSelfCommunicator();
  Mesh mesh = Mesh::Create(*world, 1).value();
  const auto model = MakeModel(config.model, DType::kF32, {.sequences = 1, .context = kTokens},
                               mesh, 0.0, config.objective);
  SetWeights(*model, params);
  const bool looks = config.objective.name == "sequential_mtp";
  std::vector<std::vector<float>> heads(static_cast<size_t>(model->draft_heads()) + 1);
  DecodeBatch batch;
  for (int64_t t = 0; t < kTokens; ++t) batch.AddNext(tokens[static_cast<size_t>(t)], t, 0);
  const auto keep = [&](const RowLogits& logits, std::vector<float>* to) {
    for (int64_t row = 0; row < logits.rows; ++row)
      to->insert(to->end(), logits[row].values.begin(), logits[row].values.end());
  };
  RowLogits logits;
  model->Run(batch, {.logits_end = kTokens}, &logits);
  keep(logits, heads.data());
  for (int k = 1; k < static_cast<int>(heads.size()); ++k) {
    DecodeBatch rows;
    for (int64_t t = 0; t + (looks ? k : 0) < kTokens; ++t)
      rows.AddNext(t == 0 ? -1 : tokens[static_cast<size_t>(looks ? t + k : t)], t, 0);
    model->RunHead(k, rows, 0, rows.rows(), 0, &logits);
    keep(logits, &heads[static_cast<size_t>(k)]);
    heads[static_cast<size_t>(k)].resize(heads[0].size());
  }
  return heads;
}

void Dump(const std::string& folder, const HeadCase& c, const reference::Params& params,
          const std::vector<int32_t>& tokens, const std::vector<std::vector<float>>& heads) {
  const Config config = ConfigOf(c);
  MemorySource source(config);
  for (const auto& [name, values] : params) {
    std::vector<float>& to = source.values(name);
    ASSERT_EQ(to.size(), values.size()) << name;
    std::copy(values.begin(), values.end(), to.begin());
  }
  std::filesystem::create_directories(folder);
  ExportJob job = JobOf(config, source);
  for (const std::string& format : c.formats) {
    job.leave = format == "hf" ? Leave::kHeads : Leave::kNothing;
    const auto report = Export(job, format, folder + "/" + format);
    ASSERT_TRUE(report.ok()) << report.status();
  }
  const auto count = static_cast<int64_t>(heads.size());
  auto writer =
      SafetensorsWriter::Create(folder + "/expected.safetensors",
                                {{.name = "tokens", .shape = {kTokens}},
                                 {.name = "logits", .shape = {count, kTokens, config.model.vocab}}},
                                {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  const auto append = [&](const std::vector<float>& values) {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
    ASSERT_TRUE((*writer)->Append(values.data(), bytes).ok());
  };
  append({tokens.begin(), tokens.end()});
  for (const std::vector<float>& logits : heads) append(logits);
  ASSERT_TRUE((*writer)->Finish().ok());
}

class HeadLogitsTest : public testing::TestWithParam<HeadCase> {};

TEST_P(HeadLogitsTest, AreTheTwins) {
  const HeadCase& c = GetParam();
  const Config config = ConfigOf(c);
  const reference::Params params = RandomParams(config.model, DType::kF32, config.objective);
  const auto count = static_cast<int64_t>(HeadCount(config.objective));
  const HostBatch batch =
      RandomBatch({.count = 1, .length = kTokens, .vocab = config.model.vocab, .lookahead = count});
  const std::vector<std::vector<float>> heads = HeadLogits(config, params, batch.inputs);
  const reference::ObjectiveOptions options{
      .model = config.model, .objective = config.objective, .weights = {}};
  reference::internal::ObjectivePass twin(options, params, batch);
  twin.Forward();
  ASSERT_EQ(heads.size(), twin.logits.size());
  ASSERT_EQ(static_cast<int64_t>(heads.size()), count);
  for (size_t k = 0; k < heads.size(); ++k) {
    const bool looks = c.objective.name == "sequential_mtp";
    const auto rows = static_cast<size_t>(kTokens) - (looks ? k : 0);
    const size_t numbers = rows * static_cast<size_t>(config.model.vocab);
    double error = 0.0, size = 0.0;
    for (size_t i = 0; i < numbers; ++i) {
      error = std::max(error, std::abs(heads[k][i] - twin.logits[k].z[i]));
      size = std::max(size, std::abs(twin.logits[k].z[i]));
    }
    EXPECT_LT(error, 1e-5 * size) << "head " << k;
  }
  if (const char* folder = std::getenv("TL_HEADS_DUMP"); folder != nullptr)
    Dump(std::string(folder) + "/" + c.name, c, params, batch.inputs, heads);
}

INSTANTIATE_TEST_SUITE_P(Heads, HeadLogitsTest, testing::ValuesIn(HeadCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tl
