// SPDX-License-Identifier: Apache-2.0
// The files of a Hugging Face folder beside its weights, for a run's trunk: as the imported folder
// had them, with what the run has changed; made anew where the run was not imported.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "convert/export.h"

namespace tl {

// Of the longest text: what the imported folder said, or the run's sequence length where that is
// longer.
int64_t ContextLength(const ExportJob& job);

// config.json of this model, which may be another than the run's.
absl::StatusOr<std::string> ConfigFile(const ExportJob& job, const ModelConfig& model);

// generation_config.json and the tokenizer's files.
absl::Status WriteHuggingFaceSides(const ExportJob& job, const OutputFolder& out);

}  // namespace tl
