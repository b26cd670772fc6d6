// SPDX-License-Identifier: Apache-2.0
// The average of weights in checkpoints: resumed to the bit, begun and ended by a resume, read
// instead of the weights; and checkpoints of before it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "base/crc32c.h"
#include "checkpoint/folder.h"
#include "checkpoint/load.h"
#include "checkpoint/reader.h"
#include "convert/weights.h"
#include "tests/data/temp_folder.h"
#include "tests/engine/rig.h"

namespace tl {
namespace {

using reference::Params;

Config AverageConfig(double ema, Precision precision = Precision::kFp32) {
  Config config = SmallConfig();
  config.model.tie_embeddings = false;
  config.train.steps = 6;
  config.train.micro_batch_size = 2;
  config.optimizer.lr = 1e-2;
  config.optimizer.ema = ema;
  config.precision.compute = precision;
  config.precision.initial_loss_scale = 0x1p21;  // overflows at first
  return config;
}

void Evaluate(Rig& rig) {
  RandomSource held_out({.vocab = rig->model().options().model.vocab});
  held_out.samples = 4;
  ASSERT_TRUE(rig->Evaluate(held_out, 0).ok());
}

// A run of three steps, saved in the test's folder.
std::string Save(Rig& rig, const std::string& name = "run") {
  for (int step = 0; step < 3; ++step) rig.Run();
  const std::string folder = FolderOfTest() + "/" + name;
  TL_CHECK_OK(rig->Save(folder));
  return folder + "/" + CheckpointName(3);
}

TEST(SavedAverage, ResumesToTheBit) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
    Rig whole(AverageConfig(0.3, precision));
    for (int step = 0; step < 6; ++step) whole.Run();
    Rig first(AverageConfig(0.3, precision));
    const std::string path = Save(first, Name(precision));
    Evaluate(first);
    Rig second(AverageConfig(0.3, precision));
    const auto resumed = second->Resume(path);
    ASSERT_TRUE(resumed.ok()) << resumed.status();
    EXPECT_TRUE(resumed->had_average);
    EXPECT_EQ(second.State(2), first.State(2));
    EXPECT_NE(second.State(2), second.Master());
    for (int step = 3; step < 6; ++step) {
      Evaluate(second);
      second.Run();
    }
    EXPECT_EQ(second.Master(), whole.Master()) << Name(precision);
    for (const int state : {0, 1, 2})
      EXPECT_EQ(second.State(state), whole.State(state)) << Name(precision) << " " << state;
  }
}

TEST(SavedAverage, BeginsWithAResume) {
  Rig without(AverageConfig(0.0));
  const std::string path = Save(without);
  Rig with(AverageConfig(0.9));
  const auto resumed = with->Resume(path);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_FALSE(resumed->had_average);
  EXPECT_EQ(with.State(2), without.Master());
  // Of all updates, those before it began included.
  const Params before = with.State(2);
  with.Run();
  const Params master = with.Master(), after = with.State(2);
  Params twin = before;
  for (auto& [name, average] : twin) {
    const double decay = 4.0 / 13.0;
    for (size_t i = 0; i < average.size(); ++i)
      average[i] = decay * average[i] + (1.0 - decay) * master.at(name)[i];
    EXPECT_LE(RelativeError(after.at(name), average), 1e-6) << name;
  }
}

TEST(SavedAverage, EndsWithAResume) {
  Rig with(AverageConfig(0.9));
  const std::string path = Save(with);
  Rig without(AverageConfig(0.0));
  const auto resumed = without->Resume(path);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_TRUE(resumed->had_average);
  EXPECT_EQ(without.Master(), with.Master());
  ASSERT_TRUE(without->Save(FolderOfTest() + "/after").ok());
  const auto saved = CheckpointReader::Open(FolderOfTest() + "/after/step_00000003").value();
  EXPECT_FALSE(saved->manifest().HasRole("ema"));
}

TEST(SavedAverage, IsReadInsteadOfTheWeights) {
  Rig with(AverageConfig(0.9)), without(AverageConfig(0.0));
  const std::string has = Save(with, "with"), lacks = Save(without, "without");
  const Params master = with.Master(), average = with.State(2);
  ASSERT_NE(master, average);
  const std::unique_ptr<Communicator> self = MakeSelfCommunicator();
  Rig target(AverageConfig(0.5));
  const auto load = [&](const std::string& where, WhichWeights which) {
    return LoadWeights(
        where, *self, target->engine().params(),
        [&](ParamId id, const float* v) { target->state().SetWeights(id, v); }, which);
  };
  const auto export_embedding = [&](const std::string& where, WhichWeights which) {
    const auto source = OpenRunWeights(where, which).value();
    std::vector<float> values(master.at("embedding.weight").size());
    TL_CHECK_OK(source->Read("embedding.weight", 0, std::ssize(values), values.data()));
    EXPECT_EQ(source->tensors().size(), master.size());
    return reference::Doubles(values.begin(), values.end());
  };
  struct Case {
    std::string where;
    WhichWeights asked, taken;
    Params expected;
  };
  for (const Case& c :
       {Case{has, WhichWeights::kTrained, WhichWeights::kTrained, master},
        Case{has, WhichWeights::kAveraged, WhichWeights::kAveraged, average},
        Case{has, WhichWeights::kAveragedIfThere, WhichWeights::kAveraged, average},
        Case{lacks, WhichWeights::kAveragedIfThere, WhichWeights::kTrained, without.Master()}}) {
    const auto taken = load(c.where, c.asked);
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ(*taken, c.taken);
    EXPECT_EQ(target.Master(), c.expected);
    EXPECT_EQ(target.State(2), c.expected) << "an average starts as the weights";
    EXPECT_EQ(export_embedding(c.where, c.asked), c.expected.at("embedding.weight"));
  }
  const absl::Status none = load(lacks, WhichWeights::kAveraged).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(none.message(), lacks +
                                ": holds no average of weights, which a training keeps with "
                                "[optimizer] ema above 0");
  EXPECT_EQ(OpenRunWeights(lacks, WhichWeights::kAveraged).status(), none);
  // A new run starts from what a run hands over.
  EXPECT_EQ(target->StartFrom(has).value(), WhichWeights::kAveraged);
  EXPECT_EQ(target.Master(), average);
  EXPECT_EQ(target->StartFrom(lacks).value(), WhichWeights::kTrained);
}

// A frozen trunk has no average: it is read as it is.
TEST(SavedAverage, OfHeadsOnAFrozenTrunk) {
  Config config = AverageConfig(0.9);
  config.objective.name = "medusa";
  config.objective.Set("heads", 2);
  config.objective.Set("freeze_trunk", true);
  config.run.init_from = "initial weights will do";
  Rig rig(config);
  const ShardedState& state = rig->state();
  bool frozen = false;
  for (size_t b = 0; b < state.bucket_roles().size(); ++b) {
    const bool trainable = rig->engine().params().buckets()[b].trainable;
    EXPECT_EQ(state.Has(2, static_cast<int>(b)), trainable);
    frozen |= !trainable;
  }
  EXPECT_TRUE(frozen) << "the test's point";
  const std::string path = Save(rig);
  const auto reader = CheckpointReader::Open(path).value();
  EXPECT_EQ(reader->manifest().Find("embedding.weight", "ema"), -1);
  EXPECT_TRUE(reader->manifest().HasRole("ema"));
  Evaluate(rig);
  const auto read = [&](WhichWeights which) {
    std::vector<std::vector<float>> values(rig->engine().params().size());
    const auto set = [&](ParamId id, const float* v) {
      values[id].assign(v, v + rig->engine().params()[id].local.elements());
    };
    TL_CHECK_OK(ReadWeights(*reader, rig->engine().params(), set, MissingWeights::kError, which));
    return values;
  };
  const auto trained = read(WhichWeights::kTrained), averaged = read(WhichWeights::kAveraged);
  for (ParamId id = 0; id < rig->engine().params().size(); ++id)
    EXPECT_EQ(trained[id] == averaged[id], !rig->engine().params()[id].spec.trainable)
        << rig->engine().params()[id].spec.name;
}

// Version 1 numbered AdamW's states.
TEST(SavedAverage, CheckpointsOfBeforeResumeAsTheyDid) {
  Rig rig(AverageConfig(0.0));
  const std::string path = Save(rig), name = path + "/manifest.json";
  std::ifstream in(name);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  text = absl::StrReplaceAll(text, {{"\"version\":2", "\"version\":1"},
                                    {"\"role\":\"m\"", "\"role\":\"state0\""},
                                    {"\"role\":\"v\"", "\"role\":\"state1\""}});
  text.resize(text.rfind(",\"crc32c\""));
  absl::StrAppendFormat(&text, ",\"crc32c\":\"%08x\"}\n", Crc32c(text.data(), text.size()));
  std::ofstream(name) << text;
  for (const double ema : {0.0, 0.9}) {
    Rig resumed(AverageConfig(ema));
    const auto status = resumed->Resume(path);
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(resumed.Master(), rig.Master());
    EXPECT_EQ(resumed.State(0), rig.State(0));
    EXPECT_EQ(resumed.State(1), rig.State(1));
  }
}

}  // namespace
}  // namespace tl
