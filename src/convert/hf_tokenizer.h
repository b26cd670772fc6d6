// SPDX-License-Identifier: Apache-2.0
// Tokenizer files as Hugging Face's transformers and tokenizers load them.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "data/text_rules.h"
#include "data/tokenizer.h"

namespace tl {

// Contents by file name:
//   bytes            tokenizer.json: byte-level BPE of 256 tokens without merges, id = byte
//   tokenizer.json   as it was
//   SentencePiece    tokenizer.model as it was, and a tokenizer.json that does the same where
//                    tokenizers can (BPE with byte fallback, text not normalised)
// and tokenizer_config.json. max_positions: the longest text of the model in tokens.
absl::StatusOr<std::map<std::string, std::string>> HuggingFaceTokenizer(const Tokenizer& tokenizer,
                                                                        const TextRules& rules,
                                                                        int64_t max_positions);

// The 256 tokens of a byte-level BPE in the order of their bytes: GPT-2's printable stand-ins.
std::vector<std::string> ByteLevelTokens();

}  // namespace tl
