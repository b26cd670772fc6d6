// SPDX-License-Identifier: Apache-2.0
// A tokenizer as GGUF metadata, for the tokenizers that llama.cpp has.
#pragma once

#include "absl/status/status.h"
#include "convert/gguf.h"
#include "data/model_text.h"

namespace tl {

// Adds the tokenizer.ggml.* keys. vocab: the model's; tokens that the tokenizer does not have are
// written as unused.
//   bytes           byte-level BPE without merges. llama.cpp gives every such vocabulary an end
//                   token (11 where none is told), so byte 0, which no text has, is made it.
//   tokenizer.json  byte-level BPE whose way of splitting words llama.cpp knows, that of GPT-2,
//                   Llama 3, Qwen2 or SmolLM2, and BPE over characters with byte fallback as
//                   SentencePiece's become; others are refused
//   SentencePiece   BPE with byte fallback, text not normalised; others are refused
absl::Status AddGgufTokenizer(const ModelText& text, int64_t vocab, GgufMetadata& metadata);

}  // namespace tl
