// The tokenizer of a run.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/tokenizer.h"
#include "engine/config.h"

namespace tl {

// From tokenizer.json or tokenizer.model in the run folder, where one is (an imported
// checkpoint's), else from those of the run's token files that are still there, which carry the
// tokenizer that made them. An error where none says, where the vocabulary is larger than the
// model's, or where the run's checkpoint was made with another.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadRunTokenizer(const std::string& run_dir,
                                                            const Config& config);

}  // namespace tl
