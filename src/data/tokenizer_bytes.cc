// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

namespace tl {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  TokenizerKind kind() const override { return TokenizerKind::kBytes; }
  int64_t vocab_size() const override { return 256; }
  int32_t end_id() const override { return -1; }
  const std::string& definition() const override { return definition_; }

  absl::Status Encode(absl::string_view text, std::vector<int32_t>* ids) const override {
    ids->reserve(ids->size() + text.size());
    for (char c : text) ids->push_back(static_cast<unsigned char>(c));
    return absl::OkStatus();
  }

  std::string Decode(absl::Span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      if (id >= 0 && id < 256) text.push_back(static_cast<char>(id));
    }
    return text;
  }

  size_t CutPoint(absl::string_view text) const override { return text.size(); }

 private:
  std::string definition_;
};

}  // namespace

std::unique_ptr<Tokenizer> MakeByteTokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace tl
