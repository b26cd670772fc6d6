// Saves of a run: complete, exact, and refused with a reason where they are damaged.
#include "checkpoint/run_state.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "tests/data/temp_folder.h"
#include "tests/engine/rig.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

// A folder of the test's own inside the program's.
std::string RunFolder() {
  const std::string path =
      Folder() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
  fs::create_directories(path);
  return path;
}

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
  const std::string save = NewestSave(dir).value();
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
  ASSERT_TRUE(second->Resume(NewestSave(dir).value()).ok());
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
  const std::string dir = RunFolder();
  Rig rig(SaveConfig());
  ASSERT_TRUE(rig->Save(dir).ok());
  const std::string save = NewestSave(dir).value();
  const auto weights = SafetensorsReader::Open(save + "/weights.safetensors").value();
  const auto optimizer = SafetensorsReader::Open(save + "/optimizer.safetensors").value();
  const auto shapes = TensorShapes(SaveConfig().model);
  EXPECT_EQ(weights->tensors().size(), shapes.size());
  EXPECT_EQ(optimizer->tensors().size(), 2 * shapes.size());
  for (const NamedShape& shape : shapes) {
    std::vector<int64_t> dims{shape.rows};
    if (shape.columns > 1) dims.push_back(shape.columns);
    EXPECT_TRUE(weights->Find(shape.name, dims).ok()) << shape.name;
    EXPECT_TRUE(optimizer->Find(shape.name + ".state0", dims).ok()) << shape.name;
    EXPECT_TRUE(optimizer->Find(shape.name + ".state1", dims).ok()) << shape.name;
  }
}

TEST(RunSaves, WeightsAloneComeFromAnyForm) {
  const std::string dir = RunFolder();
  Rig rig(SaveConfig());
  rig.Run();
  ASSERT_TRUE(rig->Save(dir).ok());
  const std::string save = NewestSave(dir).value();
  for (const std::string& where : {dir, save, save + "/weights.safetensors"}) {
    Config config = SaveConfig();
    config.train.seed = 5;
    Rig other(config);
    const auto m = other.State(0);
    ASSERT_TRUE(other->InitializeFrom(where).ok()) << where;
    EXPECT_EQ(other.Master(), rig.Master()) << where;
    EXPECT_EQ(other.State(0), m) << "the optimizer starts fresh";
    EXPECT_EQ(other->run().step, 0);
  }
}

TEST(RunSaves, OldOnesGo) {
  const std::string dir = RunFolder();
  Rig rig(SaveConfig());
  fs::create_directories(dir + "/step_00000000.tmp");  // left by a run that was killed
  fs::create_directories(dir + "/step_00000099");      // not complete
  fs::create_directories(dir + "/step_notes");
  std::ofstream(dir + "/step_notes/state.json") << "{}";
  for (int step = 0; step < 4; ++step) {
    ASSERT_TRUE(rig->Save(dir).ok());
    EXPECT_EQ(NewestSave(dir).value(), dir + "/step_0000000" + std::to_string(step));
    rig.Run();
  }
  EXPECT_FALSE(fs::exists(dir + "/step_00000000.tmp"));
  EXPECT_FALSE(fs::exists(dir + "/step_00000000"));
  EXPECT_FALSE(fs::exists(dir + "/step_00000001"));
  EXPECT_TRUE(fs::exists(dir + "/step_00000002"));
  EXPECT_TRUE(fs::exists(dir + "/step_00000003"));
  EXPECT_TRUE(fs::exists(dir + "/step_notes")) << "somebody else's";
}

TEST(RunSaves, OfTheSameStepReplaceEachOther) {
  const std::string dir = RunFolder();
  Rig rig(SaveConfig());
  ASSERT_TRUE(rig->Save(dir).ok());
  ASSERT_TRUE(rig->Save(dir).ok());
  EXPECT_EQ(NewestSave(dir).value(), dir + "/step_00000000");
}

TEST(RunSaves, MissingOnesAreNamed) {
  const std::string dir = RunFolder();
  ExpectMessage(NewestSave(dir).status(), dir + ": no complete save");
  ExpectMessage(NewestSave(dir + "/none").status(), dir + "/none: no complete save");
  Rig rig(SaveConfig());
  ExpectMessage(rig->InitializeFrom(dir), dir + ": no complete save");
  ExpectMessage(rig->InitializeFrom(dir + "/x.safetensors"), dir + "/x.safetensors: cannot open");
  const std::string file = dir + "/file";
  std::ofstream(file) << "x";
  ExpectMessage(rig->Save(file), file + "/step_00000000.tmp: cannot create the folder");
}

TEST(RunSaves, OfAnotherModelAreRefused) {
  const std::string dir = RunFolder();
  Rig rig(SaveConfig());
  ASSERT_TRUE(rig->Save(dir).ok());
  const auto refused = [&](const std::function<void(ModelConfig&)>& change,
                           const std::string& part) {
    Config config = SaveConfig();
    change(config.model);
    Rig other(config);
    ExpectMessage(other->InitializeFrom(dir), part);
  };
  refused([](ModelConfig& m) { m.vocab = 68; }, "has the shape [67, 48], the model needs [68, 48]");
  refused([](ModelConfig& m) { m.ffn = 96; }, "has the shape [80, 48], the model needs [96, 48]");
  refused([](ModelConfig& m) { m.layers = 3; }, "no tensor \"layers.2.");
}

TEST(RunSaves, DamagedOnesAreRefused) {
  const std::string dir = RunFolder();
  Rig rig(SaveConfig());
  ASSERT_TRUE(rig->Save(dir).ok());
  const std::string save = NewestSave(dir).value();
  const auto refused = [&](const std::string& state, const std::string& part) {
    std::ofstream(save + "/state.json") << state;
    ExpectMessage(rig->Resume(save), save + "/state.json: " + part);
  };
  refused("", "expected a whole number \"format\"");
  refused("[1]", "expected a whole number \"format\"");
  refused("{\"format\": 1, \"step\": \"3\"}", "expected a whole number \"step\"");
  refused("{\"format\": 1, \"step\": -3}", "expected a whole number \"step\"");
  refused("{\"format\": 1, \"step\": 1e300}", "expected a whole number \"step\"");
  const std::string counts = R"("step": 3, "updates": 3, "skipped": 0, "clean_steps": 0)";
  refused("{\"format\": 1, " + counts + "}", "expected a whole number \"hysteresis_left\"");
  const std::string rest = counts + R"(, "hysteresis_left": -2, "loss_scale": )";
  refused("{\"format\": 1, " + rest + "0}", "expected a positive number \"loss_scale\"");
  refused("{\"format\": 2, " + rest + "1}", "format 2, expected 1");
  fs::remove(save + "/state.json");
  ExpectMessage(rig->Resume(save), save + "/state.json: cannot open: No such file");
  const std::string optimizer = save + "/optimizer.safetensors";
  fs::resize_file(optimizer, fs::file_size(optimizer) - 4);
  ExpectMessage(rig->Resume(save), optimizer + ": not a valid safetensors file");
  fs::remove(optimizer);
  ExpectMessage(rig->Resume(save), optimizer + ": cannot open");
}

}  // namespace
}  // namespace tl
