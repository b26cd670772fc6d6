// SPDX-License-Identifier: Apache-2.0
// A Hugging Face checkpoint made a checkpoint of this program's.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "convert/weights.h"

namespace tl {

// folder: config.json, safetensors (see OpenHuggingFaceWeights) and tokenizer.json or
// tokenizer.model. out: a new folder with weights.safetensors (types as they were), config.toml
// (resolved), the tokenizer with all that the folder says of texts, and the report. Tensors that
// the model does not have, or has in another shape, are refused. Returns the report.
absl::StatusOr<std::vector<TensorPlacement>> ImportHuggingFace(const std::string& folder,
                                                               const std::string& out);

}  // namespace tl
