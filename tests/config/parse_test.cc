// SPDX-License-Identifier: Apache-2.0
#include "config/parse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/run_config.h"
#include "config/suggest.h"
#include "engine/validate.h"
#include "objective/independent_heads.h"
#include "objective/keys.h"
#include "objective/medusa.h"
#include "tests/expect_error.h"

namespace tl {
namespace {

constexpr char kMinimal[] = R"([model]
layers = 2
hidden = 64
heads = 2
ffn = 128
vocab = 256

[train]
steps = 10
sequence_length = 32
global_batch_size = 4
micro_batch_size = 2
)";

// The minimal config with one more line in a section, which is then line 13.
std::string With(const std::string& section, const std::string& line) {
  return std::string(kMinimal) + "[" + section + "]\n" + line + "\n";
}

void ExpectParseError(const std::string& text, const std::vector<std::string>& parts) {
  ExpectError(ParseConfig(AllKeys(), text, "my.toml").status(), parts);
}

void ExpectOverrideError(const std::string& override, const std::vector<std::string>& parts) {
  ExpectError(ParseConfig(AllKeys(), kMinimal, "my.toml", {override}).status(), parts);
}

Config Minimal(const std::vector<std::string>& overrides = {}) {
  absl::StatusOr<Config> config = ParseConfig(AllKeys(), kMinimal, "my.toml", overrides);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : Config();
}

void ExpectInvalid(const std::vector<std::string>& overrides, int ranks,
                   const std::vector<std::string>& parts) {
  ExpectError(Validate(Minimal(overrides), ranks), parts);
}

TEST(ParseConfig, MinimalHasDefaults) {
  const Config config = Minimal();
  EXPECT_EQ(config.model.layers, 2);
  EXPECT_EQ(config.train.micro_batch_size, 2);
  EXPECT_EQ(config.optimizer, OptimizerConfig());
  EXPECT_TRUE(Validate(config, 1).ok()) << Validate(config, 1);
}

TEST(ParseConfig, UnknownNamesGiveFileLineAndNearest) {
  ExpectParseError(With("optimizer", "weigth_decay = 0.1"),
                   {"my.toml:14", "optimizer.weigth_decay", "optimizer.weight_decay"});
  ExpectParseError(With("optimiser", "lr = 0.1"), {"my.toml:13", "[optimiser]", "[optimizer]"});
  ExpectParseError(With("parallel", "tensor_model_parallel_size = 2"), {"parallel.tensor"});
  ExpectParseError(With("run", "eval_every = 2"), {"run.eval_every", "train.eval_every"});
  ExpectParseError("lr = 0.1\n" + std::string(kMinimal), {"my.toml:1", "optimizer.lr"});
  ExpectParseError("model = 3\n", {"my.toml:1", "model is a section", "the integer 3"});
  ExpectParseError(With("model.rope_scalin", "factor = 8"), {"[model.rope_scaling]"});
  ExpectParseError(With("model.rope_scaling", "facto = 8"), {"model.rope_scaling.factor"});
}

TEST(ParseConfig, WrongTypesGiveExpectedAndFound) {
  ExpectParseError(With("parallel", "tensor = \"two\""),
                   {"my.toml:14", "[parallel] tensor", "expected integer", "string \"two\""});
  ExpectParseError(With("parallel", "tensor = 2.0"), {"expected integer", "the number 2.0"});
  ExpectParseError(With("parallel", "sequence = 1"), {"true or false", "the integer 1"});
  ExpectParseError(With("optimizer", "lr = \"fast\""), {"expected number", "\"fast\""});
  ExpectParseError(With("run", "dir = 3"), {"[run] dir", "expected string", "the integer 3"});
  ExpectParseError(With("run", "dir = 2020-01-01"), {"a date or time"});
  ExpectParseError(With("data", "train = [1]"), {"[data] train", "a list of paths", "integer 1"});
  ExpectParseError(With("data", "train = [{ path = \"a\", wight = 2 }]"), {"wight"});
  ExpectParseError(With("data", "train = [{ path = \"a\", weight = 0 }]"), {"a weight above 0"});
  ExpectParseError(With("data", "train = [{ weight = 1 }]"), {"empty path"});
  ExpectParseError(With("data", "train = { labels = \"b\" }"), {"empty path"});
  ExpectParseError(With("data", "train = { path = \"a\", labels = \"\" }"),
                   {"[data] train: expected a path of labels", "found the string \"\""});
  ExpectParseError(With("data", "train = { path = \"a\", labels = 3 }"),
                   {"labels = \"b.npy\"", "found a table with labels = the integer 3"});
  ExpectParseError(With("data", "train = { path = \"a\", labels = \"b\\nc\" }"),
                   {"[data] train", "without line ends"});
  ExpectParseError(With("precision", "compute = \"fp8\""),
                   {"one of \"fp32\", \"bf16\", \"fp16\"", "\"fp8\""});
  ExpectParseError(With("optimizer", "schedule = true"), {"\"wsd\"", "found true"});
  ExpectParseError(With("run", "device = \"tpu\""), {"\"auto\", \"cpu\", \"cuda\"", "\"tpu\""});
  ExpectParseError("[train\n", {"my.toml:1", "not TOML"});
}

TEST(ParseConfig, RangesAreChecked) {
  ExpectParseError(With("optimizer", "lr = 0"), {"above 0", "the integer 0"});
  ExpectParseError(With("optimizer", "beta2 = 1.0"), {"from 0 to below 1", "the number 1.0"});
  ExpectParseError(With("optimizer", "clip = nan"), {"at least 0", "nan"});
  ExpectParseError(With("optimizer", "lr = inf"), {"above 0", "inf"});
  ExpectParseError(With("parallel", "tensor = 0"), {"from 1 to", "the integer 0"});
  ExpectParseError(With("precision", "backoff_factor = 1.0"), {"above 0 to below 1"});
}

TEST(ParseConfig, RequiredKeys) {
  ExpectParseError("[model]\nlayers = 2\n", {"my.toml", "[model] hidden is missing"});
  ExpectParseError("", {"[model] layers is missing"});
}

constexpr char kPictures[] = R"([model]
layers = 2
hidden = 64
heads = 2
ffn = 128
shape = [1, 28, 28]
patch = 4
classes = 10

[train]
steps = 10
global_batch_size = 4
micro_batch_size = 2
)";

TEST(ParseConfig, AShapeStandsForVocabularyAndLength) {
  const auto parse = [](const std::vector<std::string>& overrides) {
    return ParseConfig(AllKeys(), kPictures, "my.toml", overrides);
  };
  const Config config = parse({}).value();
  EXPECT_EQ(config.model.shape, (std::vector<int64_t>{1, 28, 28}));
  EXPECT_EQ(config.train.sequence_length, 49);
  EXPECT_EQ(ParseConfig(AllKeys(), WriteResolved(AllKeys(), config), "resolved").value(), config);
  ExpectError(parse({"model.shape=[]"}).status(), {"[model] vocab is missing"});
  ExpectError(parse({"model.shape=[]", "model.vocab=9"}).status(),
              {"[train] sequence_length is missing"});
  ExpectError(parse({"model.shape=28"}).status(),
              {"expected list of integers, each from 1 to 65536", "the integer 28"});
  ExpectError(parse({"model.shape=[1, 2.5, 28]"}).status(),
              {"list of integers, each from 1 to 65536", "the number 2.5"});
  ExpectError(parse({"model.shape=[0, 28, 28]"}).status(), {"each from 1", "the integer 0"});
  // What does not divide is Validate's.
  EXPECT_EQ(parse({"model.patch=5"}).value().train.sequence_length, 25);
  EXPECT_EQ(parse({"model.shape=[1, 28]"}).value().train.sequence_length, 0);
}

TEST(Validate, KeysOfPicturesOnTokens) {
  ExpectInvalid({"data.flip=true"}, 1, {"[data] flip = true is for pictures"});
  ExpectInvalid({"data.dequantize=true"}, 1, {"[data] dequantize = true is for pictures"});
  ExpectInvalid({"data.eval={ path = \"a\", labels = \"b.npy\" }"}, 1,
                {"[data] eval: labels = b.npy is for pictures"});
}

TEST(Validate, ModelsOfValues) {
  const auto expect_invalid = [](const std::vector<std::string>& overrides, int ranks,
                                 const std::vector<std::string>& parts) {
    ExpectError(Validate(ParseConfig(AllKeys(), kPictures, "my.toml", overrides).value(), ranks),
                parts);
  };
  expect_invalid({"objective.name=medusa"}, 1,
                 {"[objective] name = \"medusa\" learns from tokens, but [model] shape is given"});
  expect_invalid({"train.sequence_length=64"}, 1, {"[train] sequence_length = 64", "49 patches"});
  expect_invalid({"train.z_loss=1e-4"}, 1,
                 {"[train] z_loss = 0.0001 is a key of models of tokens"});
  expect_invalid({"train.loss_chunk=64"}, 1, {"[train] loss_chunk = 64 is a key of models of tok"});
  expect_invalid({"data.pack_documents=true"}, 1, {"[data] pack_documents = true is a key of mod"});
  // Rows of a pass are divided, wherever a sample ends.
  const std::vector<std::string> split = {"parallel.tensor=2", "parallel.sequence=true"};
  expect_invalid(split, 2, {"learns from tokens"});
  std::vector<std::string> odd = split;
  odd.push_back("train.micro_batch_size=1");
  expect_invalid(odd, 2, {"[train] micro_batch_size x patches of a sample = 49"});
  expect_invalid({"parallel.tensor=2", "model.hidden=65", "model.head_dim=32"}, 2,
                 {"[parallel] tensor = 2 does not divide [model] hidden = 65"});
}

TEST(ParseConfig, DataIsAPathAListOrWeighted) {
  const auto parse = [](const std::string& line) {
    return ParseConfig(AllKeys(), With("data", line), "my.toml").value().data.train;
  };
  EXPECT_EQ(parse("train = \"a.tok\""), (std::vector<WeightedPath>{{"a.tok", 1.0}}));
  EXPECT_EQ(parse("train = [\"a\", \"b\"]"), (std::vector<WeightedPath>{{"a", 1.0}, {"b", 1.0}}));
  EXPECT_EQ(parse("train = [{ path = \"a\", weight = 0.25 }, \"b\"]"),
            (std::vector<WeightedPath>{{"a", 0.25}, {"b", 1.0}}));
  EXPECT_EQ(parse("train = { path = \"a.idx\", labels = \"b.idx\" }"),
            (std::vector<WeightedPath>{{"a.idx", 1.0, "b.idx"}}));
  EXPECT_EQ(parse("train = [{ labels = \"b\", path = \"a\", weight = 2 }, { path = \"c\" }]"),
            (std::vector<WeightedPath>{{"a", 2.0, "b"}, {"c", 1.0}}));
}

TEST(ParseConfig, Overrides) {
  const Config config = Minimal(
      {"optimizer.lr=1e-3", "run.dir=out/one", "checkpoint.resume=never", "precision.compute=bf16",
       "data.eval=[\"x\", \"y\"]", "train.steps = 7", "train.steps=8", "optimizer.min_lr=0",
       "data.train=a.tok", "model.rope_scaling.factor=8", "run.init_from=2024"});
  EXPECT_EQ(config.optimizer.lr, 1e-3);
  EXPECT_EQ(config.run.dir, "out/one");
  EXPECT_EQ(config.checkpoint.resume, "never");
  EXPECT_EQ(config.precision.compute, Precision::kBf16);
  EXPECT_EQ(config.data.eval.size(), 2u);
  EXPECT_EQ(config.train.steps, 8);
  EXPECT_EQ(config.data.train[0].path, "a.tok");
  EXPECT_EQ(config.model.rope_scaling.factor, 8.0);
  EXPECT_EQ(config.run.init_from, "2024");

  ExpectOverrideError("train.step=3", {"--set train.step=3", "unknown key", "train.steps"});
  ExpectOverrideError("steps=3", {"expected section.key=value"});
  ExpectOverrideError("train.steps", {"expected section.key=value"});
  ExpectOverrideError("train.steps=many", {"--set", "expected integer", "the string \"many\""});
  ExpectOverrideError("train.steps=", {"expected integer"});
  ExpectOverrideError("data.train=[1", {"--set", "not TOML"});
  ExpectOverrideError("train.steps=3\nx=1", {"expected integer"});
  ExpectOverrideError("precision.compute=fp8", {"\"fp8\""});
}

TEST(WriteResolved, ParsesBackEqual) {
  Config config = Minimal();
  config.run.dir = "a \"quoted\" path\\ é";
  config.data.train = {{"x.tok", 1.0}, {"y.tok", 1.0}};
  config.data.eval = {{"x", 0.1}, {"y", 1e-7, "labels \"of\" y"}};
  config.model.rope_scaling = {8.0, 1.0, 4.0, 8192};
  config.model.norm_eps = 1.0 / 3.0;
  config.precision.compute = Precision::kFp16;
  config.train.recompute = Recompute::kSelective;
  config.train.seed = int64_t{1} << 62;
  config.optimizer.schedule = ScheduleKind::kWsd;
  config.optimizer.weight_decay = 1e20;
  config.parallel = {2, true, 12345};
  const std::string text = WriteResolved(AllKeys(), config);
  const absl::StatusOr<Config> back = ParseConfig(AllKeys(), text, "resolved");
  ASSERT_TRUE(back.ok()) << back.status() << "\n" << text;
  EXPECT_TRUE(*back == config) << text;
  EXPECT_EQ(WriteResolved(AllKeys(), *back), text);
  config.data.train = {{"x", 1.0, "labels"}, {"y"}};
  config.data.flip = config.data.dequantize = true;
  const std::string other = WriteResolved(AllKeys(), config);
  EXPECT_TRUE(ParseConfig(AllKeys(), other, "resolved").value() == config) << other;
}

TEST(QuoteToml, EscapesControlCharacters) {
  EXPECT_EQ(QuoteToml("a\t\x01\x7F\"\\ é"), "\"a\\u0009\\u0001\\u007f\\\"\\\\ é\"");
}

// Every key that holds a path reads it in the same way.
TEST(ParseConfig, Paths) {
  const char* home = std::getenv("HOME");
  const std::string before = home != nullptr ? home : "";
  setenv("HOME", "/home/me", 1);
  const Config config = Minimal(
      {"run.dir=~/a b", "run.init_from=~", "checkpoint.dir=./~/x", "checkpoint.resume=~/y",
       "data.train=~/z.tok", "data.eval=[{ path = \"~/v.tok\", labels = \"~/l\", weight = 2.0 }]"});
  EXPECT_EQ(config.run.dir, "/home/me/a b");
  EXPECT_EQ(config.run.init_from, "/home/me");
  EXPECT_EQ(config.checkpoint.dir, "./~/x");
  EXPECT_EQ(config.checkpoint.resume, "/home/me/y");
  EXPECT_EQ(config.data.train[0].path, "/home/me/z.tok");
  EXPECT_EQ(config.data.eval[0].path, "/home/me/v.tok");
  EXPECT_EQ(config.data.eval[0].labels, "/home/me/l");
  // The resolved config has them whole.
  EXPECT_EQ(ParseConfig(AllKeys(), WriteResolved(AllKeys(), config), "resolved").value(), config);
  for (const char* key :
       {"run.dir", "run.init_from", "checkpoint.dir", "checkpoint.resume", "data.train"}) {
    const std::string name = std::string(key).substr(std::string(key).find('.') + 1);
    ExpectOverrideError(std::string(key) + "=a\nb",
                        {"--set " + std::string(key) + "=a\\nb: [", name,
                         "expected a path without line ends", "found \"a\\nb\""});
    ExpectOverrideError(std::string(key) + "=\"a\\u001bb\"", {name, "found \"a\\x1bb\""});
    ExpectOverrideError(std::string(key) + "=~you/x", {name, "~/ stands for $HOME", "./~you/x"});
  }
  ExpectParseError(With("run", "dir = \"a\\nb\""), {"my.toml:14: [run] dir: expected a path"});
  ExpectOverrideError("run.dir=m\xFCller", {"--set run.dir=m\\xfcller: not TOML", "utf-8"});
  setenv("HOME", "/home/m\xFCller", 1);
  ExpectOverrideError("run.dir=~/x", {"[run] dir: expected a path in UTF-8", "m\\xfcller/x"});
  setenv("HOME", "", 1);
  ExpectOverrideError("run.dir=~/x", {"[run] dir: expected $HOME"});
  setenv("HOME", before.c_str(), 1);
}

TEST(ConfigTable, IsSound) {
  Config config;
  std::string previous;
  std::vector<std::string> seen;
  for (const ConfigKey& key : AllKeys().keys()) {
    EXPECT_NE(AllKeys().SectionDoc(key.section), nullptr) << key.section;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), key.full_name()), 0) << key.full_name();
    seen.push_back(key.full_name());
    EXPECT_FALSE(key.type_text().empty());
    EXPECT_GT(std::string(key.doc).size(), 5u) << key.full_name();
    EXPECT_EQ(NearestKey(AllKeys(), key.section, key.name), key.full_name());
  }
}

TEST(EditDistance, CountsSwapsOnce) {
  EXPECT_EQ(EditDistance("steps", "stpes"), 1);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

TEST(ValidateConfig, Grid) {
  ExpectInvalid({"parallel.tensor=2"}, 3,
                {"[parallel] tensor = 2", "number of ranks, 3", "fit 3 rank(s) and this model: 1"});
  ExpectInvalid({"parallel.tensor=4"}, 4, {"tensor = 4 does not divide [model] heads = 2", "1, 2"});
  ExpectInvalid({"parallel.tensor=2", "model.ffn=129"}, 2, {"[model] ffn = 129", ": 1"});
  ExpectInvalid({"parallel.tensor=2", "parallel.sequence=true", "train.sequence_length=33"}, 2,
                {"[train] sequence_length = 33", "[parallel] sequence = true"});
  ExpectInvalid({"model.hidden=192", "model.heads=6", "model.kv_heads=3", "parallel.tensor=2"}, 2,
                {"neither a divisor nor a multiple of [model] kv_heads = 3"});
  EXPECT_TRUE(Validate(Minimal({"parallel.sequence=true", "train.sequence_length=33"}), 1).ok());
  // One key/value head on two ranks is held by both.
  EXPECT_TRUE(Validate(Minimal({"model.kv_heads=1", "parallel.tensor=2"}), 2).ok());
}

TEST(ValidateConfig, BatchAndSchedule) {
  ExpectInvalid({"train.global_batch_size=6"}, 2,
                {"[train] global_batch_size = 6", "2 x 2 = 4", "fits: 4 or 8", "1, 3"});
  ExpectInvalid({"train.global_batch_size=1"}, 1, {"global_batch_size that fits: 2"});
  ExpectInvalid({"optimizer.warmup_steps=11"}, 1,
                {"[optimizer] warmup_steps = 11", "[train] steps = 10"});
  ExpectInvalid({"optimizer.min_lr=1"}, 1, {"[optimizer] min_lr = 1", "at most lr"});
  ExpectInvalid(
      {"optimizer.schedule=wsd", "optimizer.warmup_steps=5", "optimizer.decay_fraction=0.6"}, 1,
      {"[optimizer] decay_fraction = 0.6", "at most 0.5"});
  ExpectInvalid({"precision.min_loss_scale=1e6"}, 1, {"[precision] min_loss_scale"});
}

TEST(ValidateConfig, RefusesWhatIsNotThere) {
  ExpectInvalid({"run.device=cuda"}, 1, {"[run] device = \"cuda\"", "use \"cpu\""});
  Config config = Minimal();
  config.objective.name = "eagle";
  ExpectError(Validate(config, 1), {"[objective] name = \"eagle\"", "next_token", "medusa"});
}

TEST(ValidateConfig, Objectives) {
  const std::string heads = "objective.name=independent_heads";
  ExpectInvalid({"objective.heads=2"}, 1,
                {"[objective] heads is a key of independent_heads and medusa", "\"next_token\""});
  ExpectInvalid({heads}, 1, {"[objective] heads = 0", "from 1 to 16"});
  ExpectInvalid({heads, "objective.heads=17"}, 1, {"[objective] heads = 17", "from 1 to 16"});
  ExpectInvalid({heads, "objective.heads=4", "train.sequence_length=3"}, 1,
                {"predicts 4 tokens ahead", "[train] sequence_length = 3"});
  ExpectInvalid({heads, "objective.heads=2", "objective.depth=1"}, 1,
                {"[objective] depth is a key of sequential_mtp"});
  ExpectInvalid({heads, "objective.heads=2", "objective.weights=[1.0]"}, 1,
                {"[objective] weights has 1 numbers", "heads = 2"});
  // A head between others would be missing from what decoding accepts.
  ExpectOverrideError("objective.weights=[1.0, 0]", {"[objective] weights", "above 0", "found"});
  ExpectInvalid({heads, "objective.heads=2", "objective.distill=true"}, 1,
                {"[objective] distill is a key of medusa"});
  ExpectInvalid({heads, "objective.heads=2", "objective.match_parameters=true"}, 1,
                {"match_parameters takes heads = 2", "[model] layers"});
  ExpectInvalid({"objective.name=sequential_mtp"}, 1, {"[objective] depth = 0", "from 1 to 15"});
  ExpectInvalid({"objective.name=medusa", "objective.heads=2", "objective.freeze_trunk=true"}, 1,
                {"freeze_trunk = true", "[run] init_from"});
}

TEST(ParseConfig, ListsOfNumbers) {
  const Config config = Minimal({"objective.weights=[1, 0.5]"});
  EXPECT_EQ(SettingsOf<IndependentHeadsSettings>(config.objective).weights,
            (std::vector<double>{1.0, 0.5}));
}

TEST(ObjectiveKeys, AreKeptWhereTheyAreNotTheDefault) {
  const Config config = Minimal({"objective.name=medusa", "objective.heads=3",
                                 "objective.freeze_trunk=false", "objective.decay=0.8"});
  EXPECT_EQ(config.objective.values.size(), 1u);
  EXPECT_EQ(SettingsOf<MedusaSettings>(config.objective).heads, 3);
  EXPECT_EQ(SettingsOf<MedusaSettings>(config.objective).decay, 0.8);
  EXPECT_EQ(Minimal({"objective.heads=3", "objective.heads=0"}).objective, ObjectiveConfig());
  EXPECT_EQ(AllKeys().Find("objective.heads")->doc,
            "independent_heads: heads, the main one included; medusa: heads beside the main one");
  EXPECT_EQ(AllKeys().Find("objective.freeze_trunk")->doc,
            "sequential_mtp, medusa (its stage 1): the heads alone are trained, on the trunk of "
            "[run] init_from");
}

TEST(LoadConfig, EveryShippedConfigIsValid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TL_SOURCE_DIR "/configs")) {
    const std::string path = entry.path().string();
    const absl::StatusOr<Config> config = LoadConfig(AllKeys(), path);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(Validate(*config, 1).ok()) << path << ": " << Validate(*config, 1);
    if (path.find("bench") == std::string::npos) {
      EXPECT_TRUE(Validate(*config, 2).ok()) << path << ": " << Validate(*config, 2);
    }
    EXPECT_EQ(config->run.dir, "checkpoints/" + entry.path().stem().string());
    ++count;
  }
  EXPECT_GE(count, 5);
}

// The name of a config file is any the system allows; that of a run folder is written into TOML.
TEST(LoadConfig, ANameThatIsNotUtf8) {
  const std::string path = testing::TempDir() + "/m\xFCller.toml";
  std::ofstream(path) << kMinimal;
  ExpectError(LoadConfig(AllKeys(), path).status(),
              {"m\\xfcller.toml: [run] dir is not given", "expected a path in UTF-8",
               "found \"checkpoints/m\\xfcller\""});
  EXPECT_EQ(LoadConfig(AllKeys(), path, {"run.dir=here"}).value().run.dir, "here");
  std::ofstream(path) << kMinimal << "[run]\ndri = 1\n";
  ExpectError(LoadConfig(AllKeys(), path).status(), {"m\xFCller.toml:14: unknown key run.dri"});
  std::ofstream(path) << "[run\n";
  ExpectError(LoadConfig(AllKeys(), path).status(), {"m\xFCller.toml:1:", "not TOML"});
  std::filesystem::remove(path);
}

TEST(LoadConfig, FilesThatAreNotThere) {
  ExpectError(LoadConfig(AllKeys(), "/nowhere/x.toml").status(),
              {"/nowhere/x.toml", "No such file"});
  ExpectError(LoadConfig(AllKeys(), "/tmp").status(), {"/tmp", "Is a directory"});
  ExpectError(LoadRunConfig("/tmp").status(), {"/tmp is not a run folder", "config.toml"});
}

TEST(IsResolved, KnowsWhatPeopleWrite) {
  const std::string text = WriteResolved(AllKeys(), Minimal({"run.dir=a # b"}));
  const auto resolved = [](const std::string& t) { return IsResolved(AllKeys(), t); };
  EXPECT_TRUE(resolved(text)) << text;
  EXPECT_TRUE(resolved(""));
  // Of versions that had other keys.
  EXPECT_TRUE(resolved("[model]\nlayers = 2\n"));
  EXPECT_TRUE(resolved(text + "\n[later]\nkey = \"value\"\n"));
  EXPECT_TRUE(resolved(text + "later = 1.0\n"));
  EXPECT_FALSE(resolved("# mine\n" + text));
  EXPECT_FALSE(resolved("[model]\nlayers = 2  # of 24\n"));
  EXPECT_FALSE(resolved("[model]\nlayers=2\n"));
  EXPECT_FALSE(resolved("[model]\nrope_theta = 1e4\n"));
  EXPECT_FALSE(resolved("[model]\n  layers = 2\n"));
  EXPECT_FALSE(resolved("model.layers = 2\n"));
  EXPECT_FALSE(resolved("[model]\nlayers = \"two\"\n"));
  EXPECT_FALSE(resolved("notes\n"));
}

}  // namespace
}  // namespace tl
