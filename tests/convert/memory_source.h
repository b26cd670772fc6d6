// SPDX-License-Identifier: Apache-2.0
// A model's weights made up in memory, and a job to export them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/philox.h"
#include "convert/export.h"
#include "engine/model.h"
#include "tests/data/temp_folder.h"

namespace tl {

class MemorySource : public WeightSource {
 public:
  explicit MemorySource(const Config& config) {
    const auto parts = ModelTensors(config.model, config.objective).value();
    for (const ParamPart& part : parts) {
      std::vector<int64_t> shape;
      for (int i = 0; i < part.shape.rank(); ++i) shape.push_back(part.shape[i]);
      Add(part.name, shape);
    }
  }
  void Add(const std::string& name, const std::vector<int64_t>& shape) {
    tensors_.push_back({name, shape, DType::kF32});
    std::vector<float>& values = values_[name];
    int64_t elements = 1;
    for (const int64_t dim : shape) elements *= dim;
    for (int64_t i = 0; i < elements; ++i)
      values.push_back(
          0.1f * PhiloxNormal(HashName(name.data(), name.size(), 1), static_cast<uint64_t>(i)));
  }
  void Remove(const std::string& name) {
    std::erase_if(tensors_, [&](const SourceTensor& t) { return t.name == name; });
  }
  std::vector<float>& values(const std::string& name) { return values_.at(name); }
  SourceTensor& tensor(size_t i) { return tensors_[i]; }

  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  absl::Status Read(const std::string& name, int64_t begin, int64_t count,
                    float* out) const override {
    EXPECT_LE(begin + count, static_cast<int64_t>(values_.at(name).size()));
    std::copy_n(values_.at(name).begin() + begin, count, out);
    return absl::OkStatus();
  }

 private:
  std::vector<SourceTensor> tensors_;
  std::map<std::string, std::vector<float>> values_;
};

inline Config ConvertConfig() {
  Config config;
  config.model = {.layers = 2,
                  .hidden = 48,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 32,
                  .ffn = 80,
                  .vocab = 260};
  config.train.steps = 1;
  config.train.sequence_length = 64;
  config.train.global_batch_size = config.train.micro_batch_size = 1;
  return config;
}

inline ExportJob JobOf(const Config& config, const WeightSource& source) {
  return {.config = config, .source = &source, .text = TextOf(MakeByteTokenizer()), .name = "test"};
}

// A path in the test's folder that does not exist yet.
inline std::string NewPath(const std::string& name) {
  const std::string path = Folder() + "/" + name;
  std::filesystem::remove_all(path);
  return path;
}

inline nlohmann::json JsonOf(const std::string& path) {
  return ParseJson(ReadTextFile(path, 1 << 20).value(), path).value();
}

inline std::vector<float> ReadWhole(const WeightSource& source, const SourceTensor& tensor) {
  int64_t elements = 1;
  for (const int64_t dim : tensor.shape) elements *= dim;
  std::vector<float> values(static_cast<size_t>(elements));
  EXPECT_TRUE(source.Read(tensor.name, 0, elements, values.data()).ok());
  return values;
}

// To the bit: NaN is equal to itself, 0 not to -0.
inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline void ExpectError(const absl::Status& status, const std::string& part) {
  ASSERT_FALSE(status.ok()) << "accepted: " << part;
  EXPECT_NE(std::string(status.message()).find(part), std::string::npos)
      << status << "\nexpected: " << part;
}

// An export that leaves nothing behind.
inline void ExpectRefused(const Config& config, const std::string& format, const std::string& why,
                          Leave leave = Leave::kNothing) {
  const MemorySource source(config);
  ExportJob job = JobOf(config, source);
  job.leave = leave;
  const std::string out = NewPath("refused");
  ExpectError(Export(job, format, out).status(), why);
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace tl
