// SPDX-License-Identifier: Apache-2.0
// The counts of a declared model against numbers that were written down before the plan counted:
// by formulas of the whole model and of each objective.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/host_memory.h"
#include "config/parse.h"
#include "engine/options.h"
#include "kernels/cached_attention.h"
#include "objective/descriptor.h"
#include "objective/keys.h"

namespace tl {
namespace {

std::unique_ptr<Model> Declared(const ModelOptions& options, int tensor_size = 1,
                                int tensor_rank = 0) {
  return Model::Declare(options,
                        {.data_size = 2, .tensor_size = tensor_size, .tensor_rank = tensor_rank})
      .value();
}

struct Counts {
  const char* config;
  const char* settings;
  int64_t parameters;
  double flops_per_token;
};
// clang-format off
constexpr Counts kCounts[] = {
    {"bench-0.5b", "", 494032768, 3492378624},
    {"bench-1.5b", "", 1543714304, 10318639104},
    {"bench-3b", "", 3085938688, 20326563840},
    {"bench-10m", "", 10720128, 67843584},
    {"bench-124m", "", 123587328, 798087168},
    // Its conditioner's products are of samples, 49 rows each; those of patches and features have no
    // gradient at their input.
    {"fashion", "", 1863440, 7667732.897959184},
    {"fashion-smld", "", 1863440, 7667732.897959184},
    {"fashion-vp", "", 1863440, 7667732.897959184},
    {"independent-heads", "", 1238656, 9196032},
    {"kjv-10m", "", 10720128, 71382528},
    {"kjv-5m", "", 5310720, 35002368},
    {"medusa", "", 984576, 2819072},
    {"quickstart", "", 836736, 5803008},
    {"sequential-mtp", "", 1070848, 9392640},
    {"tiny", "", 402048, 2508288},
    {"kjv-10m", "model.kv_heads=2 model.tie_embeddings=false model.qkv_bias=true model.qk_norm=true", 9643392, 64304640},
    {"kjv-10m", "model.sliding_window=48", 10720128, 65557008},
    {"kjv-10m", "model.sliding_window=100 model.head_dim=32 train.sequence_length=72", 8950656, 54178560},
    {"kjv-10m", "model.vocab=257 train.recompute=full train.hidden_dropout=0.1", 10720512, 71384832},
    {"kjv-10m", "objective.name=independent_heads objective.heads=4", 17801088, 120347136},
    {"kjv-10m", "objective.name=independent_heads objective.heads=3 objective.match_parameters=true train.recompute=selective", 10720128, 72562176},
    {"kjv-10m", "objective.name=sequential_mtp objective.depth=2", 14852736, 99698688},
    {"kjv-10m", "objective.name=sequential_mtp objective.depth=3 objective.share_weights=true", 12786432, 113856768},
    {"kjv-10m", "objective.name=sequential_mtp objective.depth=2 objective.detach_shared=true", 14852736, 99305472},
    {"kjv-10m", "objective.name=sequential_mtp objective.depth=2 objective.detach_hidden=true objective.hidden=stream", 14852736, 99698688},
    {"kjv-10m", "objective.name=sequential_mtp objective.depth=1 objective.freeze_trunk=true", 12786432, 37755648},
    {"kjv-10m", "objective.name=medusa objective.heads=3", 11458560, 75806208},
    {"kjv-10m", "objective.name=medusa objective.heads=2 objective.residual_layers=2 objective.own_unembedding=false", 11311488, 76101120},
    {"kjv-10m", "objective.name=medusa objective.heads=2 objective.freeze_trunk=true", 11212416, 26743296},
    {"kjv-10m", "objective.name=medusa objective.heads=2 objective.freeze_trunk=true objective.own_unembedding=false", 11015808, 26350080},
    {"kjv-10m", "objective.name=medusa objective.heads=2 objective.freeze_trunk=true objective.distill=true", 11212416, 27136512},
    {"kjv-10m", "objective.name=medusa objective.heads=2 objective.distill=true objective.own_unembedding=false model.sliding_window=100", 11015808, 70130652},
    {"kjv-5m", "model.tie_embeddings=false objective.name=independent_heads objective.heads=4", 10621184, 95170560},
    {"kjv-5m", "model.tie_embeddings=false objective.name=independent_heads objective.heads=3 objective.match_parameters=true train.recompute=selective", 7407872, 60168192},
    {"kjv-5m", "model.tie_embeddings=false objective.name=sequential_mtp objective.depth=2", 9278208, 72950784},
    {"kjv-5m", "model.tie_embeddings=false objective.name=sequential_mtp objective.depth=3 objective.share_weights=true", 8343040, 91924992},
    {"kjv-5m", "model.tie_embeddings=false objective.name=sequential_mtp objective.depth=2 objective.detach_shared=true", 9278208, 64562176},
    {"kjv-5m", "model.tie_embeddings=false objective.name=sequential_mtp objective.depth=2 objective.detach_hidden=true objective.hidden=stream", 9278208, 72950784},
    {"kjv-5m", "model.tie_embeddings=false objective.name=sequential_mtp objective.depth=1 objective.freeze_trunk=true", 8343040, 26447360},
    {"kjv-5m", "model.tie_embeddings=false objective.name=medusa objective.heads=3", 13896704, 73930752},
    {"kjv-5m", "model.tie_embeddings=false objective.name=medusa objective.heads=2 objective.residual_layers=2 objective.own_unembedding=false", 7671040, 61741056},
    {"kjv-5m", "model.tie_embeddings=false objective.name=medusa objective.heads=2 objective.freeze_trunk=true", 11733760, 37619712},
    {"kjv-5m", "model.tie_embeddings=false objective.name=medusa objective.heads=2 objective.freeze_trunk=true objective.own_unembedding=false", 7539456, 29231104},
    {"kjv-5m", "model.tie_embeddings=false objective.name=medusa objective.heads=2 objective.freeze_trunk=true objective.distill=true", 11733760, 46008320},
    {"kjv-5m", "model.tie_embeddings=false objective.name=medusa objective.heads=2 objective.distill=true objective.own_unembedding=false model.sliding_window=100", 7539456, 67301360},
};
// clang-format on

ModelOptions Options(const char* config, const char* settings = "") {
  const std::vector<std::string> overrides = absl::StrSplit(settings, ' ', absl::SkipEmpty());
  return MakeModelOptions(
      LoadConfig(AllKeys(), absl::StrCat(TL_SOURCE_DIR "/configs/", config, ".toml"), overrides)
          .value(),
      DeviceType::kCpu);
}

TEST(PlanCounts, AreThoseOfTheFormulas) {
  for (const Counts& counts : kCounts) {
    SCOPED_TRACE(absl::StrCat(counts.config, " ", counts.settings));
    const auto model = Declared(Options(counts.config, counts.settings));
    EXPECT_EQ(model->params().parameters(), counts.parameters);
    EXPECT_DOUBLE_EQ(model->plan().flops_per_token(), counts.flops_per_token);
  }
}

TEST(PlanCounts, AreThoseOfTheWholeModelOnAnyGrid) {
  for (const Counts& counts : kCounts) {
    SCOPED_TRACE(absl::StrCat(counts.config, " ", counts.settings));
    ModelOptions options = Options(counts.config, counts.settings);
    const int64_t heads = DescriptorOf(options.objective).heads(options.objective);
    options.model.layers = std::min<int64_t>(options.model.layers, heads + 2);
    const auto whole = Declared(options);
    for (const int tensor : {2, 4}) {
      if (options.model.heads % tensor != 0 || options.model.ffn % tensor != 0) continue;
      for (const bool split_rows : {false, true}) {
        options.sequence_parallel = split_rows;
        const auto part = Declared(options, tensor, tensor - 1);
        EXPECT_EQ(part->params().parameters(), whole->params().parameters());
        EXPECT_EQ(part->plan().flops_per_token(), whole->plan().flops_per_token());
      }
    }
  }
}

// The logits of the loss in fp32 are by far the largest there is; their gradient in bf16 would be
// half of them.
TEST(PlanCounts, EvaluationHasNoGradients) {
  for (const char* objective :
       {"name=next_token", "name=independent_heads objective.heads=2",
        "name=sequential_mtp objective.depth=1", "name=medusa objective.heads=2"}) {
    SCOPED_TRACE(objective);
    constexpr int64_t kVocab = 16384;
    ModelOptions options = Options(
        "tiny",
        absl::StrCat("precision.compute=bf16 model.vocab=", kVocab, " objective.", objective)
            .c_str());
    const auto training = Declared(options);
    options.purpose = Plan::Purpose::kInference;
    const auto evaluation = Declared(options);
    const int64_t logits = evaluation->rows() * kVocab * 4;
    EXPECT_GE(training->activation_bytes(), logits + logits / 2);
    EXPECT_GE(evaluation->activation_bytes(), logits);
    EXPECT_LT(evaluation->activation_bytes(), logits + logits / 4);
    EXPECT_EQ(evaluation->gradient_bytes(), 0);
  }
}

TEST(PlanCounts, EveryConfigIsCounted) {
  for (const auto& entry : std::filesystem::directory_iterator(TL_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".toml") continue;
    EXPECT_TRUE(std::any_of(std::begin(kCounts), std::end(kCounts), [&](const Counts& c) {
      return entry.path().stem() == c.config;
    })) << entry.path();
  }
}

int64_t Parameters(const ModelConfig& model) {
  return Declared({.model = model, .objective = {}, .sequence_length = 1})->params().parameters();
}

// As their model cards have them.
TEST(PlanCounts, KnownModels) {
  const ModelConfig llama3_8b = {.layers = 32,
                                 .hidden = 4096,
                                 .heads = 32,
                                 .kv_heads = 8,
                                 .ffn = 14336,
                                 .vocab = 128256,
                                 .tie_embeddings = false};
  EXPECT_EQ(Parameters(llama3_8b), 8030261248);
  EXPECT_EQ(Parameters({.layers = 24,
                        .hidden = 896,
                        .heads = 14,
                        .kv_heads = 2,
                        .ffn = 4864,
                        .vocab = 151936,
                        .qkv_bias = true}),
            494032768);
  EXPECT_EQ(Parameters({.layers = 28,
                        .hidden = 1024,
                        .heads = 16,
                        .kv_heads = 8,
                        .head_dim = 128,
                        .ffn = 3072,
                        .vocab = 151936,
                        .qk_norm = true}),
            596049920);
  ModelConfig mistral_7b = llama3_8b;
  mistral_7b.vocab = 32000;
  EXPECT_EQ(Parameters(mistral_7b), 7241732096);
  EXPECT_EQ(Parameters({.layers = 12, .hidden = 768, .heads = 12, .ffn = 2048, .vocab = 50304}),
            50304 * 768 + 12 * (12 * 768 * 768 + 2 * 768) + 768);
}

TEST(PlanCounts, FlopsAreOfMatricesAndTheKeysSeen) {
  ModelConfig m = {.layers = 2, .hidden = 128, .heads = 4, .ffn = 344, .vocab = 256};
  const auto flops = [&] {
    return Declared({.model = m, .objective = {}, .sequence_length = 8})->plan().flops_per_token();
  };
  const double matrices = 2 * (4 * 128 * 128 + 3 * 128 * 344) + 128 * 256;
  // Queries 1..8 see 1..8 keys: 4.5 on average, two products of 128 numbers each.
  EXPECT_DOUBLE_EQ(flops(), 3 * (2 * matrices + 2 * 4 * 128 * 4.5));
  m.sliding_window = 2;  // 1, 2, 2, 2, 2, 2, 2, 2
  EXPECT_DOUBLE_EQ(flops(), 3 * (2 * matrices + 2 * 4 * 128 * 15.0 / 8));
  m.sliding_window = 100;
  EXPECT_DOUBLE_EQ(flops(), 3 * (2 * matrices + 2 * 4 * 128 * 4.5));
}

// Of GPUs, by the formula from before: the largest that some op of any model takes.
struct Scratch {
  const char* config;
  int tensor;
  int64_t bytes;
};
constexpr Scratch kScratch[] = {{"bench-0.5b", 1, 77530240},
                                {"bench-0.5b", 2, 38831232},
                                {"bench-1.5b", 1, 67990656},
                                {"bench-1.5b", 2, 34028672},
                                {"bench-3b", 1, 42519680},
                                {"bench-3b", 2, 33579264},
                                {"bench-10m", 1, 33559296},
                                {"bench-124m", 1, 33563904},
                                {"kjv-10m", 2, 33559296},
                                {"kjv-5m", 1, 33557760},
                                {"independent-heads", 1, 33556224},
                                {"sequential-mtp", 2, 33556224},
                                {"tiny", 1, 33556224}};

TEST(PlanCounts, ScratchIsPrintedAsBefore) {
  for (const auto& [config, tensor, before] : kScratch) {
    SCOPED_TRACE(absl::StrCat(config, " over ", tensor));
    const auto model = Declared(Options(config), tensor);
    // Biases that a model lacks are not planned for.
    EXPECT_LE(model->plan().scratch_bytes(), before);
    EXPECT_EQ(HumanBytes(model->plan().scratch_bytes()), HumanBytes(before));
  }
}

TEST(PlanCounts, DecodingTakesNoWorkspaceOfProducts) {
  ModelOptions options = Options("bench-0.5b");
  options.model.layers = 2;
  options.batch = 1;
  options.sequence_length = 8;
  options.purpose = Plan::Purpose::kInference;
  const auto model = Declared(options, 2);
  EXPECT_EQ(model->plan().cached_scratch_bytes(kKeyChunk), 0);
  EXPECT_EQ(model->plan().cached_scratch_bytes(3 * kKeyChunk), 8 * 7 * 3 * (64 + 2) * 4);
  // No attention's backward pass either.
  EXPECT_EQ(HumanBytes(model->plan().scratch_bytes()), "32.0 MiB");
}

// Without a backward pass a third is left.
TEST(PlanCounts, InferenceCountsTheForwardPass) {
  ModelOptions options = Options("tiny");
  const double both = Declared(options)->plan().flops_per_token();
  options.purpose = Plan::Purpose::kInference;
  EXPECT_DOUBLE_EQ(Declared(options)->plan().flops_per_token(), both / 3);
}

}  // namespace
}  // namespace tl
