// SPDX-License-Identifier: Apache-2.0
// The files that a command reads on every rank: that they are the same there, and that data and
// model are of one tokenizer. All of it before anything is allocated.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "config/config.h"
#include "data/file_identity.h"
#include "nn/patches.h"

namespace tl {

// Appends the identities of token files, as "KEY[0]" and so on. A token outside the vocabulary in a
// sample of one is an error. No more than `budget` is spent on such samples, however many files
// there are: each rank begins at another file, and the first one tells how far it came.
absl::Status IdentifyData(const std::string& key, const std::vector<WeightedPath>& paths,
                          int64_t vocab, std::vector<FileIdentity>* files,
                          std::chrono::milliseconds budget = std::chrono::seconds(1));
// Does the same for files of pictures, which must fit the model, and for their labels, as "KEY[0]
// labels". A value that is not finite in a sample of the pictures is an error.
absl::Status IdentifyPictures(const std::string& key, const std::vector<WeightedPath>& paths,
                              const PatchGrid& grid, int64_t classes,
                              std::vector<FileIdentity>* files,
                              std::chrono::milliseconds budget = std::chrono::seconds(1));
// The one or the other, by the config's model.
absl::Status IdentifyDataOf(const Config& config, const std::string& key,
                            const std::vector<WeightedPath>& paths,
                            std::vector<FileIdentity>* files);
// Identifies what LoadWeights reads; of a checkpoint by its manifest, which stores the checksums
// of all else, and of a folder of them by the first that LoadNewest tries. A manifest that is not
// there or is no manifest has no identity: LoadNewest passes it over.
absl::Status IdentifyWeights(const std::string& key, const std::string& where,
                             std::vector<FileIdentity>* files);

// Refuses on all ranks files that a rank could not identify (mine), or that are others than those
// of rank 0. Collective.
absl::Status AgreeOnFiles(Communicator& world, const absl::Status& mine,
                          const std::vector<FileIdentity>& files);
// Does the same for one checkpoint's manifest.
absl::Status AgreeOnManifest(Communicator& world, const std::string& checkpoint);

// Tells the hash of the tokenizer whose tokens a model knows: as the first manifest of its
// checkpoints that can be read says, else that of the tokenizer beside the weights; 0 where
// neither tells.
uint64_t TokenizerHashOf(const std::string& weights);
// As the manifest says; 0: it does not, or there is none.
uint64_t TokenizerHashInManifest(const std::string& where);
// Returns the first that data files tell; 0: none.
uint64_t TokenizerHashOf(const std::vector<FileIdentity>& files);

// Refuses (FailedPrecondition) data files and `weights` that tell different tokenizers.
absl::Status CheckTokenizer(const std::vector<FileIdentity>& files, const std::string& weights);

// Does all this for a command that reads a run's weights and data: `key` and `paths` of the data,
// none where it reads none; saves: the folder of the run's checkpoints. Collective.
absl::Status CheckEvalInputs(const std::string& key, const std::vector<WeightedPath>& paths,
                             const Config& config, const std::string& saves, Communicator& world);

}  // namespace tl
