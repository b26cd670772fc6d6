// SPDX-License-Identifier: Apache-2.0
// The tokenizer and the text rules of a run, which stand in its folder and in each checkpoint's.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/config.h"
#include "data/model_text.h"

namespace tl {

// Finds the folder that has the text of a run folder, a checkpoint, or a file of weights in either;
// empty: none.
std::string FindText(const std::string& where);

// Loads that of the run folder or of its newest checkpoint that has one; for older runs, what
// TextOfConfig finds. run_dir may be one checkpoint. An error where nothing says, where the
// vocabulary is larger than the model's, or where the run's checkpoint was made with another
// tokenizer.
absl::StatusOr<ModelText> LoadRunText(const std::string& run_dir, const Config& config);

// Finds what a training by this config would keep: the tokenizer of its token files, if they are
// there, with all that [run] init_from says where that has the same tokenizer; what init_from says
// where the token files (llm.c's, Megatron's) tell none. nullopt where nothing tells.
absl::StatusOr<std::optional<ModelText>> TextOfConfig(const Config& config);

enum class RunStart : uint8_t { kFresh, kResumed };
// Writes the text into the run folder. A run that resumes keeps what is there, unless its token
// files have another tokenizer by now.
absl::Status SaveRunText(const Config& config, RunStart start);

}  // namespace tl
