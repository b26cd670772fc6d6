// SPDX-License-Identifier: Apache-2.0
// Folders of denoisers: every tensor under its own name to the bit, in one file; what the process is
// in numbers; formats of text refuse them and the reverse.
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint/safetensors.h"
#include "convert/report.h"
#include "tests/convert/memory_source.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

Config DenoiserConfigOf(const std::string& process) {
  Config config = ConvertConfig();
  config.model.vocab = 0;
  config.model.qk_norm = true;
  config.model.shape = {2, 8, 4};
  config.model.patch = 2;
  config.model.classes = 3;
  config.objective.name = "denoise";
  config.objective.Set("process", process);
  return config;
}

TEST(ExportDenoiser, HoldsEveryTensorInOneFile) {
  const Config config = DenoiserConfigOf("edm");
  const MemorySource source(config);
  ExportJob job = JobOf(config, source);
  job.shard_bytes = 1;
  const std::string out = NewPath("denoiser");
  const auto report = Export(job, "safetensors", out);
  ASSERT_TRUE(report.ok()) << report.status();
  const auto file = SafetensorsReader::Open(out + "/model.safetensors").value();
  ASSERT_EQ(file->tensors().size(), source.tensors().size());
  for (const SourceTensor& tensor : source.tensors()) {
    const auto found = file->Find(tensor.name);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ((*found)->shape, tensor.shape);
    std::vector<float> values(ReadWhole(source, tensor).size());
    ASSERT_TRUE(file->Read(**found, 0, std::ssize(values), values.data()).ok());
    EXPECT_TRUE(SameBits(values, ReadWhole(source, tensor))) << tensor.name;
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(out)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"README.md", "config.json", "denoiser.py",
                                             "model.safetensors", kReportFile}));
  EXPECT_NE(ReadTextFile(out + "/denoiser.py", 1 << 20)->find("class Denoiser(nn.Module):"),
            std::string::npos);
}

TEST(ExportDenoiser, TellsTheProcessInNumbers) {
  Config config = DenoiserConfigOf("edm");
  config.objective.Set("label_drop", 0.25);
  config.objective.Set("sigma_max", 40.0);
  const MemorySource source(config);
  const std::string out = NewPath("denoiser");
  ASSERT_TRUE(Export(JobOf(config, source), "safetensors", out).ok());
  const nlohmann::json json = JsonOf(out + "/config.json");
  EXPECT_EQ(json["model"], (nlohmann::json{{"layers", 2},
                                           {"hidden", 48},
                                           {"heads", 4},
                                           {"kv_heads", 2},
                                           {"head_dim", 32},
                                           {"ffn", 80},
                                           {"shape", {2, 8, 4}},
                                           {"patch", 2},
                                           {"classes", 3},
                                           {"features", 256},
                                           {"qkv_bias", false},
                                           {"qk_norm", true},
                                           {"rope_theta", 10000.0},
                                           {"norm_eps", 1e-5}}));
  EXPECT_EQ(json["process"],
            (nlohmann::json{{"name", "edm"},
                            {"sigma_data", 0.5},
                            {"sigma_min", 0.002},
                            {"sigma_max", 40.0},
                            {"times", {{"low", 0.002}, {"sample", 0.002}, {"high", 40.0}}},
                            {"noise", {{"min", 0.002}, {"max", 40.0}}}}));
  EXPECT_EQ(json["prediction"], "edm");
  EXPECT_EQ(json["label_drop"], 0.25);
  EXPECT_EQ(json["knows_no_label"], true);
  EXPECT_EQ(json["weights"], "trained");

  const Config flow = DenoiserConfigOf("flow");
  const MemorySource of_flow(flow);
  const std::string other = NewPath("flow");
  ASSERT_TRUE(Export(JobOf(flow, of_flow), "safetensors", other).ok());
  const nlohmann::json theirs = JsonOf(other + "/config.json");
  EXPECT_EQ(theirs["prediction"], "velocity");
  EXPECT_EQ(theirs["knows_no_label"], false);
  EXPECT_FALSE(theirs["process"].contains("sigma_min"));
}

TEST(ExportDenoiser, FormatsAreOfTextOrOfValues) {
  const Config values = DenoiserConfigOf("vp");
  for (const ExportFormat& format : ExportFormats()) {
    if (!format.of_values)
      ExpectRefused(values, format.name, "expected safetensors, since this is a model of values");
  }
  ExpectRefused(ConvertConfig(), "safetensors", "expected one of hf, medusa,");
  ExpectRefused(values, "safetensors", "--trunk-only leaves heads out", Leave::kHeads);
}

}  // namespace
}  // namespace tl
