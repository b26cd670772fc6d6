// SPDX-License-Identifier: Apache-2.0
#include "data/sentencepiece_bridge.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <mutex>
#include <thread>
#include <unordered_map>

namespace tl::internal {
namespace {

class LineIterator : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return next_ == lines_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return lines_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  size_t next_ = 0;
};

std::string Message(const sentencepiece::util::Status& status) {
  if (status.ok()) return "";
  const std::string message = status.ToString();
  return message.empty() ? "unknown SentencePiece error" : message;
}

}  // namespace

struct SentencePieceModel::Impl {
  sentencepiece::SentencePieceProcessor processor;
};

SentencePieceModel::SentencePieceModel() : impl_(std::make_unique<Impl>()) {}
SentencePieceModel::~SentencePieceModel() = default;

std::string SentencePieceModel::Load(const std::string& serialized) {
  return Message(impl_->processor.LoadFromSerializedProto(serialized));
}

std::string SentencePieceModel::Encode(std::string_view text, std::vector<int>* ids) const {
  return Message(impl_->processor.Encode(text, ids));
}

std::string SentencePieceModel::EncodeWithDropout(std::string_view text, double dropout,
                                                  uint64_t seed, std::vector<int>* ids) const {
  // The library draws from a generator of the thread, seeded at the thread's first draw with a
  // global; all ones would have it take a seed of its own.
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  sentencepiece::SetRandomGeneratorSeed(static_cast<unsigned>(seed ^ seed >> 32) & 0x7fffffffu);
  std::string message;
  std::thread([&] {
    message = Message(
        impl_->processor.SampleEncode(text, /*nbest_size=*/-1, static_cast<float>(dropout), ids));
  }).join();
  return message;
}

std::string SentencePieceModel::Decode(const std::vector<int>& ids, std::string* text) const {
  return Message(impl_->processor.Decode(ids, text));
}

int SentencePieceModel::size() const { return impl_->processor.GetPieceSize(); }
int SentencePieceModel::eos_id() const { return impl_->processor.eos_id(); }

std::string SentencePieceModel::PieceText(int id) const {
  const auto& p = impl_->processor;
  if (p.IsControl(id) || p.IsUnknown(id) || p.IsByte(id)) return "";
  return p.IdToPiece(id);
}

std::string SentencePieceModel::PieceBytes(int id) const {
  const auto& p = impl_->processor;
  // "<0x0A>". Decode would replace one that is no character by itself.
  if (p.IsByte(id))
    return {static_cast<char>(std::stoi(p.IdToPiece(id).substr(3, 2), nullptr, 16))};
  if (p.IsUnknown(id)) return p.DecodeIds(std::vector<int>{id});
  constexpr std::string_view kSpaceSign = "\u2581";
  const std::string piece = PieceText(id);
  std::string text;
  for (size_t from = 0; from < piece.size();) {
    const bool space = piece.compare(from, kSpaceSign.size(), kSpaceSign) == 0;
    text.push_back(space ? ' ' : piece[from]);
    from += space ? kSpaceSign.size() : 1;
  }
  return text;
}

std::string SentencePieceModel::Train(const std::vector<std::string>& lines, int64_t vocab_size,
                                      std::string* serialized) {
  LineIterator iterator(lines);
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size)},
      {"max_sentence_length", std::to_string(kLongestLine)},
      {"byte_fallback", "true"},
      {"character_coverage", "0.9995"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"split_digits", "true"},
      {"minloglevel", "2"},
  };
  return Message(sentencepiece::SentencePieceTrainer::Train(options, &iterator, serialized));
}

}  // namespace tl::internal
