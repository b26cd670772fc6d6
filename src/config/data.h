// SPDX-License-Identifier: Apache-2.0
// [data]: token files.
#pragma once

#include <string>
#include <vector>

namespace tl {

struct ConfigSection;

struct WeightedPath {
  std::string path;
  double weight = 1.0;
  bool operator==(const WeightedPath&) const = default;
};

struct DataConfig {
  std::vector<WeightedPath> train;
  std::vector<WeightedPath> eval;
  bool pack_documents = false;  // keep attention and positions of packed documents apart
  bool any_tokenizer = false;   // also another than that of the weights it starts from
  bool operator==(const DataConfig&) const = default;
};

ConfigSection DataSection();

}  // namespace tl
