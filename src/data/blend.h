// SPDX-License-Identifier: Apache-2.0
// Token files as numbered samples: blended and shuffled for training, in order for evaluation.
//
// Training. A file of N tokens has W windows of T = sequence_length tokens each (plus what they
// predict) in each epoch: W = floor((N - 1) / T), less one when there are at least 16, so that the
// place of the first cut can differ from epoch to epoch: offset(e) is uniform in
// [0, N - 1 - W T]. The i-th sample from a file is window pi_e(i mod W) of epoch e = i / W, where
// pi_e is a pseudo-random permutation of [0, W) computed on the fly (a Feistel network over the
// next power of two, walked until it lands inside), keyed by seed, file and epoch. So each window
// is visited once per epoch, and no index is ever made.
//
// The k-th sample of the blend is from the file found by walking down a balanced binary tree of the
// files: of the first n samples that reach a node, exactly floor(n p + phi) go left, p being the
// left side's share of the node's weight in 64-bit fixed point and phi a phase from the seed. The
// number of earlier samples from every file is thus known from k alone, in O(log files), and
// differs from k times its weight by at most the depth of the tree.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/model_text.h"
#include "data/source.h"
#include "data/token_file.h"

namespace tl {

struct BlendFile {
  std::string path;
  double weight = 1.0;  // share of samples, relative to the other files; ignored in evaluation
};

struct BlendOptions {
  std::vector<BlendFile> files = {};
  uint64_t seed = 1;
  int64_t vocab = 0;            // of the model: a file made with a larger one is refused
  bool pack_documents = false;  // keep the documents inside a window apart
};

// Opens an endless blend, for training.
absl::StatusOr<std::unique_ptr<DataSource>> OpenBlend(const BlendOptions& options);
// Opens the files one after the other, every target once, for evaluation. Sample w of a file starts
// at token w T; the last one of each file is padded. seed and weights mean nothing.
absl::StatusOr<std::unique_ptr<DataSource>> OpenSequential(const BlendOptions& options);

// Refuses files that say that they were made with different tokenizers.
absl::Status CheckSameTokenizer(const std::vector<BlendFile>& files);
// Tells the tokenizer that the files were made with and the tokens that documents begin and end
// with: an error where two tokenizers differ, nullopt where none says. Documents have the begin
// token where no file says otherwise, and the ends of all files.
absl::StatusOr<std::optional<ModelText>> TextOfFiles(const std::vector<BlendFile>& files);

namespace internal {

// Returns the image of i under a pseudo-random permutation of [0, size).
uint64_t Permute(uint64_t key, uint64_t size, uint64_t i);

// Splits samples 0, 1, 2, ... over files by weight.
class WeightedSplit {
 public:
  WeightedSplit(const std::vector<double>& weights, uint64_t seed);
  struct Place {
    int file;
    int64_t index;  // how many samples before this one are from the same file
  };
  Place Find(int64_t sample) const;

 private:
  struct Node {
    int file = -1;                  // a leaf's
    int left = -1, right = -1;      // an inner node's
    uint64_t share = 0, phase = 0;  // of the left side, 2^-64
  };
  int Build(const std::vector<double>& weights, int begin, int end, uint64_t seed);
  std::vector<Node> nodes_;
  int root_ = 0;
};

}  // namespace internal
}  // namespace tl
