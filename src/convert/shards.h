// SPDX-License-Identifier: Apache-2.0
// Tensors into one or several safetensors files with an index, as Hugging Face keeps them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "convert/output_folder.h"
#include "convert/weights.h"

namespace tl {

// Writes STEM.safetensors, or STEM-0000i-of-0000n.safetensors with STEM.safetensors.index.json
// where the tensors are more than shard_bytes; a tensor is never divided. What is left out is
// skipped. Fills in the file of every placement.
absl::Status WriteShards(const WeightSource& source, const OutputFolder& out,
                         const std::string& stem, int64_t shard_bytes,
                         std::vector<TensorPlacement>& placements);

}  // namespace tl
