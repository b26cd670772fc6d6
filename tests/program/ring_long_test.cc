// SPDX-License-Identifier: Apache-2.0
// A ring of eight Gaussians, learnt from points in a file: what the program draws is the ring.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "data/npy.h"
#include "tests/infer/ring.h"
#include "tests/program/job.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

constexpr int kSeconds = 1800;  // two minutes on two cores of their own
constexpr int64_t kPoints = 65'536;

TEST(RingLong, IsLearntAndDrawn) {
  SetJobEnvironment();
  const fs::path folder =
      fs::temp_directory_path() / ("trunkline_ring_" + std::to_string(getpid()));
  fs::create_directories(folder);
  const auto at = [&](const std::string& name) { return (folder / name).string(); };
  std::string points = NpyHeader(ArrayType::kF32, {kPoints, 2});
  for (int64_t n = 0; n < kPoints; ++n) {
    for (const double x : TheRing().mixture().Sample(3, n)) {
      const auto value = static_cast<float>(x);
      points.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
  }
  WriteFile(at("ring.npy"), points);
  WriteFile(at("ring.toml"),
            "[model]\nlayers = 2\nhidden = 64\nheads = 2\nffn = 128\nshape = [2, 1, 1]\n"
            "[objective]\nname = \"denoise\"\nsigma_data = 0.71\n"
            "[data]\ntrain = \"" +
                at("ring.npy") +
                "\"\n[train]\nsteps = 2500\nglobal_batch_size = 512\nmicro_batch_size = 256\n"
                "[optimizer]\nlr = 3e-3\nwarmup_steps = 100\nbeta2 = 0.99\nweight_decay = 0.0\n"
                "ema = 0.995\n[run]\ndir = \"" +
                at("run") + "\"\n");
  const Outcome trained = RunShell(ProgramLine(2, {"train", at("ring.toml")}), kSeconds);
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  const Outcome drawn =
      RunShell(ProgramLine(2, {"sample", at("run"), "--count", std::to_string(kRingSamples),
                               "--sampler", "heun", "--batch", "500", "--out", at("x.npy")}),
               kSeconds);
  ASSERT_EQ(drawn.exit_code, 0) << drawn.output;

  const std::string file = ReadFile(at("x.npy"));
  const std::string header =
      NpyHeader(ArrayType::kF32, {static_cast<int64_t>(kRingSamples), 2, 1, 1});
  std::vector<float> values(2 * kRingSamples);
  ASSERT_EQ(file.size(), header.size() + values.size() * sizeof(float));
  ASSERT_EQ(file.substr(0, header.size()), header);
  std::memcpy(values.data(), file.data() + header.size(), values.size() * sizeof(float));
  const Findings f = TheRing().Look({values.begin(), values.end()});
  std::printf("%s, %.0f s of training\n", Text(f).c_str(), trained.seconds);
  EXPECT_LT(f.energy, 0.005) << Text(f);
  const auto [least, most] = std::minmax_element(f.counts.begin(), f.counts.end());
  EXPECT_GT(static_cast<double>(*least), 0.75 * kRingSamples / kModes);
  EXPECT_LT(static_cast<double>(*most), 1.25 * kRingSamples / kModes);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace tl
