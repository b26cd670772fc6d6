// SPDX-License-Identifier: Apache-2.0
// A model's tokenizer with all that its folder says of texts. A run, and each of its checkpoints,
// keeps them in a folder of its own:
//   tokenizer/rules.json                        the rules, and which tokenizer they are for
//   tokenizer/tokenizer.json, tokenizer.model   the tokenizer, unless it is that of bytes
//   tokenizer/config.json, ...                  what an imported folder had, as it was
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/text_rules.h"
#include "data/tokenizer.h"

namespace tl {

struct ModelText {
  std::shared_ptr<const Tokenizer> tokenizer = nullptr;
  TextRules rules = {};
  std::map<std::string, std::string> files = {};  // of an imported folder, contents by name
};

// Makes the text of a tokenizer without a folder: its end is that which such usually have.
ModelText TextOf(std::shared_ptr<const Tokenizer> tokenizer);

// where: "bytes", a folder of Hugging Face, of a run or of a checkpoint, or a tokenizer's file. For
// tokenizer.json and tokenizer.model the files beside them are read too.
absl::StatusOr<ModelText> ReadModelText(const std::string& where);

// Tells whether FOLDER/tokenizer holds a text that SaveModelText has written.
bool HasModelText(const std::string& folder);
// Writes FOLDER/tokenizer, durably and in one step. One that is there must hold the same, or is
// replaced.
absl::Status SaveModelText(const ModelText& text, const std::string& folder);
// Gives the folder `to`, which is being made and has none, the files of from/tokenizer: links where
// the file system has them, else copies. Nothing where there are none.
absl::Status CopyModelText(const std::string& from, const std::string& to);

}  // namespace tl
