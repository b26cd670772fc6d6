// SPDX-License-Identifier: Apache-2.0
// Checkpoints of a run: complete, exact, kept and replaced in order, refused for another model.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/folder.h"
#include "checkpoint/reader.h"
#include "checkpoint/safetensors.h"
#include "tests/data/temp_folder.h"
#include "tests/engine/rig.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

Config SaveConfig(Precision precision = Precision::kFp32) {
  Config config = SmallConfig();
  config.model.qkv_bias = config.model.qk_norm = true;
  config.model.tie_embeddings = false;
  config.train.steps = 6;
  config.train.micro_batch_size = 2;
  config.optimizer.lr = 1e-2;
  config.precision.compute = precision;
  config.precision.initial_loss_scale = 0x1p21;  // overflows at first
  config.precision.growth_interval = 2;
  return config;
}

struct State {
  reference::Params master, m, v;
  std::vector<std::byte> weights;
  bool operator==(const State&) const = default;
};

State StateOf(Rig& rig) {
  const Tensor flat = rig->engine().weights().flat;
  // By parameter: what lies between them is nobody's.
  std::vector<std::byte> weights;
  const ParamTable& table = rig->engine().params();
  for (ParamId id = 0; id < table.size(); ++id) {
    const auto size = static_cast<int64_t>(SizeOf(flat.dtype));
    const std::byte* from = flat.data + table[id].offset * size;
    weights.insert(weights.end(), from, from + table[id].local.elements() * size);
  }
  return {rig.Master(), rig.State(0), rig.State(1), std::move(weights)};
}

void ExpectSameRun(const RunState& a, const RunState& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.updates, b.updates);
  EXPECT_EQ(a.skipped, b.skipped);
  EXPECT_EQ(a.scaler.scale, b.scaler.scale);
  EXPECT_EQ(a.scaler.clean_steps, b.scaler.clean_steps);
  EXPECT_EQ(a.scaler.hysteresis_left, b.scaler.hysteresis_left);
}

std::string ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string Newest(const std::string& dir) {
  const auto entries = ListCheckpoints(dir);
  return entries.empty() ? "" : entries[0].path;
}

void ExpectMessage(const absl::Status& status, const std::string& part) {
  ASSERT_FALSE(status.ok()) << "accepted: " << part;
  EXPECT_NE(std::string(status.message()).find(part), std::string::npos)
      << status << "\nexpected: " << part;
}

class EveryPrecision : public testing::TestWithParam<Precision> {};

TEST_P(EveryPrecision, ASaveHoldsEveryBit) {
  const std::string dir = Folder() + "/bits_" + Name(GetParam());
  const Config config = SaveConfig(GetParam());
  Rig rig(config);
  for (int step = 0; step < 3; ++step) rig.Run();
  ASSERT_TRUE(rig->Save(dir).ok());
  const std::string save = Newest(dir);
  EXPECT_EQ(save, dir + "/step_00000003");
  Config other = config;
  other.train.seed = 99;
  Rig loaded(other);
  ASSERT_TRUE(loaded->Resume(save).ok());
  EXPECT_TRUE(StateOf(loaded) == StateOf(rig));
  ExpectSameRun(loaded->run(), rig->run());
  EXPECT_EQ(rig->run().step, 3);
}

// Training on from a save gives the bits of a training that was never interrupted.
TEST_P(EveryPrecision, ResumingChangesNothing) {
  const std::string dir = Folder() + "/resume_" + Name(GetParam());
  const Config config = SaveConfig(GetParam());
  Rig whole(config);
  std::vector<float> losses;
  for (int step = 0; step < 6; ++step) losses.push_back(whole.Run().loss);
  {
    Rig first(config);
    for (int step = 0; step < 3; ++step) EXPECT_EQ(first.Run().loss, losses[step]);
    ASSERT_TRUE(first->Save(dir).ok());
  }
  Rig second(config);
  ASSERT_TRUE(second->Resume(Newest(dir)).ok());
  for (size_t step = 3; step < 6; ++step) EXPECT_EQ(second.Run().loss, losses[step]) << step;
  EXPECT_TRUE(StateOf(second) == StateOf(whole));
  ExpectSameRun(second->run(), whole->run());
  if (GetParam() == Precision::kFp16) {
    EXPECT_GT(whole->run().skipped, 0) << "the test's point";
    EXPECT_GT(whole->run().updates, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryPrecision,
                         testing::Values(Precision::kFp32, Precision::kBf16, Precision::kFp16),
                         [](const testing::TestParamInfo<Precision>& info) {
                           return std::string(Name(info.param));
                         });

TEST(RunSaves, HoldTensorsUnderTheirNames) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  ASSERT_TRUE(rig->Save(dir).ok());
  const auto reader = CheckpointReader::Open(Newest(dir)).value();
  const auto shapes = TensorShapes(SaveConfig().model);
  EXPECT_EQ(reader->manifest().tensors.size(), 3 * shapes.size());
  for (const NamedShape& shape : shapes) {
    const Shape dims = shape.columns > 1 ? Shape{shape.rows, shape.columns} : Shape{shape.rows};
    for (const char* role : {"weight", "m", "v"})
      EXPECT_TRUE(reader->Find(shape.name, role, dims).ok()) << shape.name << " " << role;
  }
}

TEST(RunSaves, WeightsAloneComeFromAnyForm) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  rig.Run();
  ASSERT_TRUE(rig->Save(dir).ok());
  for (const std::string& where : {dir, Newest(dir)}) {
    Config config = SaveConfig();
    config.train.seed = 5;
    Rig other(config);
    const auto m = other.State(0);
    ASSERT_TRUE(other->StartFrom(where).ok()) << where;
    EXPECT_EQ(other.Master(), rig.Master()) << where;
    EXPECT_EQ(other.State(0), m) << "the optimizer starts fresh";
    EXPECT_EQ(other->run().step, 0);
  }
}

TEST(RunSaves, WeightsComeFromSafetensorsToo) {
  const std::string path = FolderOfTest() + "/weights.safetensors";
  Rig rig(SaveConfig());
  const auto masters = rig.Master();
  std::vector<TensorInfo> infos;
  for (const NamedShape& shape : TensorShapes(SaveConfig().model)) {
    infos.push_back({.name = shape.name, .dtype = DType::kF32, .shape = {shape.rows}});
    if (shape.columns > 1) infos.back().shape.push_back(shape.columns);
  }
  auto writer = SafetensorsWriter::Create(path, infos, {}).value();
  for (const TensorInfo& info : infos) {
    const auto& values = masters.at(info.name);
    const std::vector<float> floats(values.begin(), values.end());
    ASSERT_TRUE(
        writer->Append(floats.data(), static_cast<int64_t>(floats.size() * sizeof(float))).ok());
  }
  ASSERT_TRUE(writer->Finish().ok());
  Config config = SaveConfig();
  config.train.seed = 5;
  Rig other(config);
  ASSERT_FALSE(other.Master() == masters);
  ASSERT_TRUE(other->StartFrom(path).ok());
  EXPECT_EQ(other.Master(), masters);
}

// Retention, and what is not ours.
TEST(RunSaves, OldOnesGo) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  fs::create_directories(dir + "/step_00000000.tmp-0badcafe");  // left by a run that was killed
  fs::create_directories(dir + "/step_00000001.old-17");
  fs::create_directories(dir + "/step_00000099");  // not complete
  fs::create_directories(dir + "/step_notes");
  std::ofstream(dir + "/step_notes/manifest.json") << "{}";
  const auto saves =
      rig->OpenCheckpoints({.folder = dir, .keep = 2, .keep_every = 3, .async = true}).value();
  EXPECT_FALSE(fs::exists(dir + "/step_00000000.tmp-0badcafe"));
  EXPECT_FALSE(fs::exists(dir + "/step_00000001.old-17"));
  for (int step = 0; step < 6; ++step) {
    ASSERT_TRUE(saves->Start(rig->engine().stream(), rig->run()).ok());
    ASSERT_TRUE(saves->Wait().ok());
    EXPECT_EQ(ReadLine(dir + "/LATEST"), CheckpointName(step));
    rig.Run();
  }
  std::vector<int64_t> steps;
  for (const CheckpointEntry& entry : ListCheckpoints(dir)) steps.push_back(entry.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{99, 5, 4, 3, 0}));
  EXPECT_TRUE(fs::exists(dir + "/step_notes")) << "somebody else's";
}

TEST(RunSaves, OneThatIsReadStays) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  const auto saves = rig->OpenCheckpoints({.folder = dir, .keep = 1}).value();
  const auto save = [&] {
    ASSERT_TRUE(saves->Start(rig->engine().stream(), rig->run()).ok());
    ASSERT_TRUE(saves->Wait().ok());
    rig.Run();
  };
  save();
  auto reader = CheckpointReader::Open(dir + "/step_00000000").value();
  save();
  EXPECT_TRUE(reader->VerifyFiles([](const std::string&) {}).ok());
  reader.reset();
  save();
  EXPECT_FALSE(fs::exists(dir + "/step_00000000"));
  EXPECT_FALSE(fs::exists(dir + "/step_00000001"));
  EXPECT_TRUE(fs::exists(dir + "/step_00000002"));
}

TEST(RunSaves, OfTheSameStepReplaceEachOther) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  ASSERT_TRUE(rig->Save(dir).ok());
  Config config = SaveConfig();
  config.train.seed = 5;
  Rig other(config);
  ASSERT_TRUE(other->Save(dir).ok());
  int folders = 0;
  for (const auto& entry : fs::directory_iterator(dir)) folders += entry.is_directory();
  EXPECT_EQ(folders, 1);
  ASSERT_TRUE(rig->Resume(dir).ok());
  EXPECT_EQ(rig.Master(), other.Master());
}

// What changes after Start is not in an asynchronous save.
TEST(RunSaves, AsyncOnesHoldTheirMoment) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  rig.Run();
  const auto saves = rig->OpenCheckpoints({.folder = dir, .async = true}).value();
  ASSERT_TRUE(saves->Start(rig->engine().stream(), rig->run()).ok());
  const State then = StateOf(rig);
  while (saves->in_flight()) {
    rig.Run();
    ASSERT_TRUE(saves->Poll().ok());
  }
  ASSERT_FALSE(StateOf(rig) == then);
  Rig loaded(SaveConfig());
  ASSERT_TRUE(loaded->Resume(dir).ok());
  EXPECT_TRUE(StateOf(loaded) == then);
  EXPECT_EQ(loaded->run().step, 1);
}

TEST(RunSaves, OneRunWritesAtATime) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  const auto saves = rig->OpenCheckpoints({.folder = dir}).value();
  ExpectMessage(rig->OpenCheckpoints({.folder = dir}).status(),
                dir + "/lock: another run writes checkpoints here (process ");
}

TEST(RunSaves, MissingOnesAreNamed) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  ExpectMessage(rig->StartFrom(dir).status(), dir + ": no checkpoint");
  ExpectMessage(rig->Resume(dir).status(), dir + ": no checkpoint");
  ExpectMessage(rig->StartFrom(dir + "/none").status(), dir + "/none: cannot open: No such file");
  const std::string file = dir + "/file";
  std::ofstream(file) << "x";
  ExpectMessage(rig->Save(file), file + ": cannot");
}

TEST(RunSaves, OfAnotherModelAreRefused) {
  const std::string dir = FolderOfTest();
  Rig rig(SaveConfig());
  ASSERT_TRUE(rig->Save(dir).ok());
  const auto refused = [&](const std::function<void(ModelConfig&)>& change,
                           const std::string& part) {
    Config config = SaveConfig();
    change(config.model);
    Rig other(config);
    ExpectMessage(other->StartFrom(dir).status(), part);
  };
  refused([](ModelConfig& m) { m.vocab = 68; }, "has the shape [67, 48], the model needs [68, 48]");
  refused([](ModelConfig& m) { m.ffn = 96; }, "has the shape [80, 48], the model needs [96, 48]");
  refused([](ModelConfig& m) { m.layers = 3; }, "no tensor \"weight/layers.2.");

  // A model that needs only some of the weights: to go on would lose the others.
  const auto not_resumed = [&](const std::function<void(ModelConfig&)>& change,
                               const std::string& part) {
    Config config = SaveConfig();
    change(config.model);
    Rig other(config);
    const absl::Status status = other->Resume(dir).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    ExpectMessage(status, part);
  };
  not_resumed([](ModelConfig& m) { m.layers = 1; }, "tensor \"layers.1.");
  not_resumed([](ModelConfig& m) { m.tie_embeddings = true; }, "tensor \"lm_head.weight\" is none");
  not_resumed([](ModelConfig& m) { m.qkv_bias = false; }, ".bias\" is none of the model's");
}

// A loss scale that has found its size goes on; any other start has that of its own config.
TEST(RunSaves, TheLossScaleIsThatOfTheConfigUnlessItMoves) {
  const std::string dir = FolderOfTest();
  const auto scale_after = [&](const std::string& from, const Config& to) {
    Rig rig(to);
    EXPECT_TRUE(rig->Resume(dir + "/" + from).ok());
    return rig->run().scaler.scale;
  };
  const Config bf16 = SaveConfig(Precision::kBf16), fp16 = SaveConfig(Precision::kFp16);
  Config fixed = fp16;
  fixed.precision.loss_scale = 1024.0;
  double moved = 0.0;
  for (const auto& [name, config] :
       {std::pair("bf16", bf16), std::pair("fp16", fp16), std::pair("fixed", fixed)}) {
    Rig rig(config);
    rig.Run();
    ASSERT_TRUE(rig->Save(dir + "/" + name).ok());
    if (std::string(name) == "fp16") moved = rig->run().scaler.scale;
  }
  const double initial = fp16.precision.initial_loss_scale;
  ASSERT_LT(moved, initial) << "the test's point";
  EXPECT_EQ(scale_after("fp16", fp16), moved);
  EXPECT_EQ(scale_after("bf16", fp16), initial);
  EXPECT_EQ(scale_after("fixed", fp16), initial);
  EXPECT_EQ(scale_after("bf16", fixed), 1024.0);
  EXPECT_EQ(scale_after("fp16", fixed), 1024.0);
  EXPECT_EQ(scale_after("fp16", bf16), 1.0);
}

}  // namespace
}  // namespace tl
