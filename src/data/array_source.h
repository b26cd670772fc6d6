// SPDX-License-Identifier: Apache-2.0
// Pictures in array files as numbered samples: shuffled and blended for training, in order for
// evaluation. Bytes become numbers from -1 to 1 (see pixels.h), floats stay as they are.
//
// Training. The k-th sample is from the file that WeightedSplit gives it (see blend.h), which says
// too how many samples before it are from the same file: the i-th is picture pi_e(i mod N) of epoch
// e = i / N, where pi_e is a permutation of the file's N pictures keyed by seed, file and epoch.
// Whether it is mirrored depends on seed and k, and where in its byte's cell a value lies on seed, k
// and the value's place: no two epochs are the same. Every such key has a name of its own, so that
// none is another's or that of the noise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/source.h"
#include "nn/patches.h"

namespace tl {

struct ArrayPath {
  std::string path;
  std::string labels = "";  // see PictureFile::Open
  double weight = 1.0;      // share of samples, relative to the other files; unused in order
};

struct ArrayOptions {
  std::vector<ArrayPath> files = {};
  PatchGrid grid = {};
  int64_t classes = 0;
  uint64_t seed = 1;
  bool flip = false;        // mirror every other sample left-right; shuffled ones alone
  bool dequantize = false;  // bytes: not the middle of the cell, but a place in it
};

enum class ArrayOrder : uint8_t {
  kShuffled,    // endless
  kSequential,  // every picture once, file by file; SampleCount tells how many
};

// Opens the files. What FillBatch gives is of sequence_length grid.rows(), and a lookahead means
// nothing to it.
absl::StatusOr<std::unique_ptr<DataSource>> OpenArrays(const ArrayOptions& options,
                                                       ArrayOrder order);

}  // namespace tl
