// SPDX-License-Identifier: Apache-2.0
// [data]: files of tokens, or of pictures.
#pragma once

#include <string>
#include <vector>

namespace tl {

struct ConfigSection;

struct WeightedPath {
  std::string path;
  double weight = 1.0;
  std::string labels = "";  // of pictures: the file of their classes
  bool operator==(const WeightedPath&) const = default;
};

struct DataConfig {
  std::vector<WeightedPath> train;
  std::vector<WeightedPath> eval;
  bool pack_documents = false;  // keep attention and positions of packed documents apart
  bool flip = false;            // mirror pictures left-right, by sample number
  bool dequantize = false;      // a byte of a picture is a place in its cell, not the middle
  bool any_tokenizer = false;   // also another than that of the weights it starts from
  bool operator==(const DataConfig&) const = default;
};

ConfigSection DataSection();

}  // namespace tl
