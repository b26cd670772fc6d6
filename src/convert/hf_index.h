// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <map>
#include <set>
#include <string>

#include "absl/status/statusor.h"

namespace tl {

// Tensor names by file. File names are plain names of .safetensors files: nothing in an index leads
// out of its folder. path is named in errors.
absl::StatusOr<std::map<std::string, std::set<std::string>>> ParseShardIndex(
    const std::string& text, const std::string& path);

}  // namespace tl
