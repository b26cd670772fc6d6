// SPDX-License-Identifier: Apache-2.0
// Denoising as its user sees it: trained on pictures, resumed to the bit, evaluated in bits per
// dimension, sampled to the same bytes whatever the batch and the ranks.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/philox.h"
#include "data/npy.h"
#include "tests/program/job.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr int kSeconds = 120;
constexpr int64_t kCount = 48, kSide = 8;

class Denoising : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    SetJobEnvironment();
    folder_ = fs::temp_directory_path() / ("trunkline_denoise_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    WritePictures();
    WriteFile(At("tiny.toml"),
              "[model]\nlayers = 1\nhidden = 64\nheads = 2\nffn = 96\nshape = [1, 8, 8]\n"
              "patch = 4\nclasses = 2\n[objective]\nname = \"denoise\"\nlabel_drop = "
              "0.1\nsigma_data = 0.7\n"
              "[data]\ntrain = { path = \"" +
                  At("pictures.npy") + "\", labels = \"" + At("labels.npy") +
                  "\" }\neval = { path = \"" + At("pictures.npy") + "\", labels = \"" +
                  At("labels.npy") +
                  "\" }\n[train]\nsteps = 6\nglobal_batch_size = 8\nmicro_batch_size = 4\n"
                  "eval_every = 3\n[optimizer]\nlr = 1e-3\nwarmup_steps = 1\n"
                  "schedule = \"constant\"\nema = 0.9\n[checkpoint]\nevery = 3\n");
    trained_ = new Outcome(Train("run", {}));
    WritePoints();
  }
  static void TearDownTestSuite() {
    delete trained_;
    fs::remove_all(folder_);
  }

  static std::string At(const std::string& name) { return (folder_ / name).string(); }
  static Outcome Run(const Strings& arguments, int ranks = 1) {
    return RunShell(ProgramLine(ranks, arguments), kSeconds);
  }
  static Outcome Train(const std::string& run, const Strings& sets, int ranks = 1) {
    Strings all = {"train", At("tiny.toml"), "--set", "run.dir=" + At(run)};
    all.insert(all.end(), sets.begin(), sets.end());
    return Run(all, ranks);
  }
  // The bytes of the samples that these arguments draw.
  static std::string Sample(const Strings& arguments, int ranks = 1) {
    Strings all = {"sample", At("run"), "--count", "7", "--steps", "3", "--out", At("x.npy")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Outcome outcome = Run(all, ranks);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return ReadFile(At("x.npy"));
  }

  static constexpr int64_t kPoints = 12;
  static constexpr uint8_t kByte = 200;
  static std::vector<float> Points() {
    std::vector<float> points;
    for (int64_t i = 0; i < 2 * kPoints; ++i) points.push_back(0.5f * PhiloxNormal(4, i));
    return points;
  }
  // The line of a likelihood that these arguments ask for.
  static std::string LikelihoodLine(const Strings& arguments, int ranks = 1) {
    Strings all = {"eval"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Outcome outcome = Run(all, ranks);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    const size_t at = outcome.output.find("likelihood ");
    EXPECT_NE(at, std::string::npos) << outcome.output;
    return at == std::string::npos ? "" : outcome.output.substr(at);
  }

  static Outcome* trained_;

 private:
  // Left or right halves are bright.
  static void WritePictures() {
    std::string pictures, labels;
    for (int64_t n = 0; n < kCount; ++n) {
      labels += static_cast<char>(n % 2);
      for (int64_t i = 0; i < kSide * kSide; ++i) {
        const bool bright = (i % kSide < kSide / 2) == (n % 2 == 0);
        const uint32_t noise = Philox(3, n * kSide * kSide + i, 0).w[0] % 32;
        pictures += static_cast<char>((bright ? 192 : 16) + noise);
      }
    }
    WriteFile(At("pictures.npy"), NpyHeader(ArrayType::kU8, {kCount, kSide, kSide}) + pictures);
    WriteFile(At("labels.npy"), NpyHeader(ArrayType::kU8, {kCount}) + labels);
  }

  // Points of the plane, as floats, and one of bytes again and again.
  static void WritePoints() {
    std::string points;
    for (const float x : Points()) points.append(reinterpret_cast<const char*>(&x), sizeof(float));
    WriteFile(At("points.npy"), NpyHeader(ArrayType::kF32, {kPoints, 2}) + points);
    WriteFile(At("bytes.npy"), NpyHeader(ArrayType::kU8, {kPoints, 2}) +
                                   std::string(2 * kPoints, static_cast<char>(kByte)));
  }

  static fs::path folder_;
};
fs::path Denoising::folder_;
Outcome* Denoising::trained_ = nullptr;

TEST_F(Denoising, WarnsOfAScaleThatIsNotTheData) {
  EXPECT_EQ(trained_->output.find("sigma_data"), std::string::npos) << trained_->output;
  const Strings once = {"train.steps=1", "objective.sigma_data=2"};
  EXPECT_NE(Train("scaled", once).output.find("[objective] sigma_data = 2: the root of the mean"),
            std::string::npos);
}

TEST_F(Denoising, TrainsAndTellsBitsPerDimension) {
  const std::string& output = trained_->output;
  ASSERT_EQ(trained_->exit_code, 0) << output;
  for (const char* part : {"samples 1 x 8 x 8, patch 4, 2 classes", "48 samples, seen 1 times",
                           "samples/s", "eval 6/6  loss ", " bits/dim", "average of weights"})
    EXPECT_EQ(Count(output, part) > 0, true) << "no \"" << part << "\" in\n" << output;
  const Outcome eval = Run({"eval", At("run")});
  EXPECT_EQ(eval.exit_code, 0) << eval.output;
  for (const char* part : {" over 48 samples, ", " bits/dim, of the average of weights",
                           "noise 1 of samples", "noise 4 of samples"})
    EXPECT_EQ(Count(eval.output, part), 1) << part << "\n" << eval.output;
  EXPECT_TRUE(fs::exists(At("run/report.html")));
}

TEST_F(Denoising, ResumesToTheBit) {
  fs::copy(At("run"), At("half"), fs::copy_options::recursive);
  fs::remove_all(At("half/step_00000006"));
  const Outcome resumed = Train("half", {});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  const Outcome diff =
      Run({"checkpoint", "diff", At("run/step_00000006"), At("half/step_00000006")});
  EXPECT_EQ(diff.exit_code, 0) << diff.output;
  // The average too: without it, samples would differ.
  const std::string whole = Sample({});
  Strings of_half = {"sample", At("half"), "--count", "7", "--steps", "3", "--out", At("x.npy")};
  ASSERT_EQ(Run(of_half).exit_code, 0);
  EXPECT_EQ(ReadFile(At("x.npy")), whole);
}

TEST_F(Denoising, SamplesKnowNeitherBatchNorRanks) {
  const std::string samples = Sample({});
  EXPECT_EQ(samples.size(), NpyHeader(ArrayType::kF32, {7, 1, kSide, kSide}).size() + 7 * 64 * 4);
  EXPECT_EQ(Sample({"--batch", "1"}), samples);
  EXPECT_EQ(Sample({"--batch", "3"}), samples);
  EXPECT_EQ(Sample({}, 2), samples);
  EXPECT_EQ(Sample({"--batch", "2"}, 3), samples);
  EXPECT_NE(Sample({"--seed", "2"}), samples);
  EXPECT_NE(Sample({"--weights", "trained"}), samples);
  EXPECT_NE(Sample({"--class", "1"}), samples);
  EXPECT_NE(Sample({"--guidance", "2"}), samples);
}

TEST_F(Denoising, LikelihoodsKnowNeitherBatchNorRanks) {
  const Strings three = {At("run"), "--likelihood", "3", "--tolerance", "1e-2"};
  const auto with = [&](const Strings& more, int ranks = 1) {
    Strings all = three;
    all.insert(all.end(), more.begin(), more.end());
    return LikelihoodLine(all, ranks);
  };
  const std::string line = with({});
  for (const char* part : {" +- ", " bits/dim by the ODE over 3 samples, ", " evaluations each",
                           ", of the average of weights"})
    EXPECT_EQ(Count(line, part), 1) << line;
  EXPECT_EQ(with({"--batch", "1"}), line);
  EXPECT_EQ(with({"--batch", "3"}, 2), line);
  EXPECT_NE(with({"--weights", "trained"}), line);
  EXPECT_NE(with({"--probes", "2"}), line);
  // In fp32, whatever the training.
  EXPECT_EQ(with({"--set", "precision.compute=bf16"}), line);
  const Outcome eval = Run({"eval", At("run"), "--likelihood", "3", "--tolerance", "0.1", "--data",
                            At("pictures.npy"), "--labels", At("labels.npy")});
  EXPECT_EQ(Count(eval.output, " over 3 samples"), 2) << "the bound too\n" << eval.output;
  // A tensor group's last digits are others.
  const std::string divided = with({"--set", "parallel.tensor=2"}, 2);
  EXPECT_NEAR(std::stod(divided.substr(11)), std::stod(line.substr(11)), 1e-3) << divided;
}

// A network that gives zeros, as at its start, makes of EDM's process N(0, sigma_data^2), and of its
// density with noise_min one that is known.
TEST_F(Denoising, LikelihoodOfANewNetworkIsTheGaussians) {
  const std::string points = "{ path = \"" + At("points.npy") + "\" }";
  const Outcome trained = Train(
      "new", {"model.shape=[2, 1, 1]", "model.patch=1", "model.classes=0", "objective.label_drop=0",
              "objective.sigma_data=0.5", "data.train=" + points, "data.eval=" + points,
              "train.steps=1", "train.eval_every=0", "optimizer.lr=1e-12", "optimizer.ema=0"});
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  const double variance = 0.5 * 0.5 + 0.002 * 0.002;
  const auto nats = [&](double x) {
    return 0.5 * (x * x / variance + std::log(2.0 * M_PI * variance));
  };
  double sum = 0.0, squares = 0.0;
  const std::vector<float> x = Points();
  for (int64_t i = 0; i < kPoints; ++i) {
    const double of_point = 0.5 * (nats(x[2 * i]) + nats(x[2 * i + 1]));
    sum += of_point;
    squares += of_point * of_point;
  }
  const double mean = sum / kPoints;
  const double error = std::sqrt((squares / kPoints - mean * mean) / (kPoints - 1));
  for (const char* probes : {"1", "exact"}) {
    const std::string line = LikelihoodLine({At("new"), "--likelihood", "100", "--probes", probes});
    EXPECT_NEAR(std::stod(line.substr(11)), mean, 1e-3) << line;
    EXPECT_NEAR(std::stod(line.substr(line.find("+-") + 2)), error, 1e-3) << line;
    EXPECT_EQ(Count(line, " nats/dim by the ODE over 12 samples"), 1) << line;
  }
  // Equal bytes are not equal once they are spread over their cells.
  const std::string line =
      LikelihoodLine({At("new"), "--likelihood", "12", "--data", At("bytes.npy")});
  const double bits = nats((kByte + 0.5) / 128.0 - 1.0) / M_LN2 + 7.0;
  EXPECT_NEAR(std::stod(line.substr(11)), bits, 0.01) << line;
  const double spread = std::stod(line.substr(line.find("+-") + 2));
  EXPECT_GT(spread, 1e-4) << line;
  EXPECT_LT(spread, 1e-2) << line;
}

TEST_F(Denoising, EverySamplerDraws) {
  const std::string heun = Sample({});
  for (const char* sampler : {"euler", "dpm++", "rk45", "euler-maruyama", "reverse-diffusion",
                              "ancestral", "predictor-corrector", "langevin"}) {
    SCOPED_TRACE(sampler);
    const std::string samples = Sample({"--sampler", sampler, "--tolerance", "0.1"});
    EXPECT_EQ(samples.size(), heun.size());
    EXPECT_NE(samples, heun);
    EXPECT_EQ(Sample({"--sampler", sampler, "--tolerance", "0.1", "--batch", "2"}), samples);
  }
}

TEST_F(Denoising, WritesBytesAndPictures) {
  const std::string bytes = Sample({"--bytes", "--grid", At("x.png")});
  EXPECT_EQ(bytes.size(), NpyHeader(ArrayType::kU8, {7, 1, kSide, kSide}).size() + 7 * 64);
  EXPECT_EQ(ReadFile(At("x.png")).substr(0, 8), "\x89PNG\r\n\x1a\n");
}

TEST_F(Denoising, IsExportedWithAModuleForPyTorch) {
  const auto exported = [&](const std::string& folder, const Strings& more) {
    Strings all = {"export", At("run"), "--out", At(folder)};
    all.insert(all.end(), more.begin(), more.end());
    return Run(all);
  };
  const Outcome outcome = exported("torch", {"--format", "safetensors"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(Count(outcome.output, "torch: written, of the average of weights"), 1);
  for (const char* file : {"config.json", "denoiser.py", "README.md", "trunkline_report.json"})
    EXPECT_TRUE(fs::exists(At("torch/") + file)) << file;
  ASSERT_EQ(exported("trained", {"--format", "safetensors", "--weights", "trained"}).exit_code, 0);
  EXPECT_NE(ReadFile(At("torch/model.safetensors")), ReadFile(At("trained/model.safetensors")));
  const Outcome python =
      RunShell("! command -v python3 || python3 -c 'compile(open(\"" + At("torch/denoiser.py") +
                   "\").read(), \"denoiser.py\", \"exec\")'",
               kSeconds);
  EXPECT_EQ(python.exit_code, 0) << python.output;
  ExpectOneError(exported("refused", {}),
                 {"--format hf: expected safetensors, since this is a model of values"});
  ExpectOneError(exported("refused", {"--format", "gguf"}),
                 {"--format gguf: expected safetensors"});
  EXPECT_FALSE(fs::exists(At("refused")));
}

TEST_F(Denoising, RefusesWhatItCannotDo) {
  const auto sample = [&](const Strings& more) {
    Strings all = {"sample", At("run")};
    all.insert(all.end(), more.begin(), more.end());
    return Run(all);
  };
  ExpectOneError(sample({}), {"--out FILE.npy or --grid FILE.png is required"});
  ExpectOneError(sample({"--out", At("y.npy"), "--class", "2"}), {"--class 2", "from 0 to 1"});
  ExpectOneError(sample({"--out", At("y.npy"), "--sampler", "best"}),
                 {"--sampler best: expected one of", "heun"});
  ExpectOneError(sample({"--out", At("no/folder/y.npy")}), {"no/folder/y.npy"});
  EXPECT_FALSE(fs::exists(At("y.npy")));
  const auto eval = [&](const Strings& more) {
    Strings all = {"eval", At("run")};
    all.insert(all.end(), more.begin(), more.end());
    return Run(all);
  };
  ExpectOneError(eval({"--likelihood", "0"}), {"--likelihood", "at least 1"});
  ExpectOneError(eval({"--likelihood", "2", "--probes", "0"}), {"--probes 0", "or exact"});
  ExpectOneError(eval({"--likelihood", "2", "--tolerance", "0"}), {"--tolerance 0", "0 < x < 1"});
  ExpectOneError(eval({"--likelihood", "2", "--batches", "1"}), {"exclude each other"});
  ExpectOneError(eval({"--labels", At("labels.npy")}), {"--labels", "each of --data, 0, found 1"});
  for (const Strings& command :
       {Strings{"generate", At("run"), "--prompt", "x"}, Strings{"calibrate", At("run")}})
    ExpectOneError(Run(command), {"is a model of values, not of text: `trunkline sample`"});
  ExpectOneError(Train("bad", {"model.classes=1", "objective.label_drop=0"}),
                 {"labels.npy", "expected", "found 1"});
  ExpectOneError(Train("bad", {"model.shape=[1, 16, 16]"}), {"pictures.npy", "(48, 8, 8)"});
  ExpectOneError(Train("bad", {"objective.beta_max=10"}), {"[objective] beta_max = 10"});
  EXPECT_FALSE(fs::exists(At("bad")));
}

}  // namespace
}  // namespace tl
