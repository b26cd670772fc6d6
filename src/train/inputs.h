// SPDX-License-Identifier: Apache-2.0
// What a training reads: where it goes on or starts from, its data, and whether both belong
// together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "config/config.h"
#include "data/file_identity.h"

namespace tl {

// The checkpoint, or folder of them, that a training of this config goes on from; empty: it starts
// anew. Rank 0 decides, for a shared folder may be seen late by some. Collective.
std::string ResumesFrom(const Config& config, Communicator& world);

struct RunInputs {
  std::vector<FileIdentity> files;  // of data.* and run.init_from
  uint64_t tokenizer_hash = 0;      // 0: no file tells
};

// Refuses ranks that would read different files, and data of another tokenizer than that of the
// model which the training goes on or starts from, but with [data] any_tokenizer. Allocates
// nothing. What is returned counts on rank 0. Collective.
absl::StatusOr<RunInputs> CheckInputs(const Config& config, Communicator& world);

// Files that were read under the same path before, with other content: "data.train[0] PATH: was
// ..., is ..."; of keys that start with `key`.
std::string ContentChanges(const std::string& key, const std::vector<FileIdentity>& now,
                           const std::vector<FileIdentity>& before);

}  // namespace tl
