// SPDX-License-Identifier: Apache-2.0
#include "data/blend.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "base/status.h"
#include "base/watchdog.h"

namespace tl {
namespace internal {
namespace {

uint32_t Mix(uint64_t key, uint32_t round, uint32_t half) {
  uint64_t x = key + (uint64_t{round} << 32 | half) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return static_cast<uint32_t>(x >> 32);
}

}  // namespace

uint64_t Permute(uint64_t key, uint64_t size, uint64_t i) {
  TL_CHECK(i < size) << i << " of " << size;
  if (size == 1) return 0;
  const int bits = std::bit_width(size - 1);
  const int low_bits = bits / 2, high_bits = bits - low_bits;
  const uint64_t low_mask = (uint64_t{1} << low_bits) - 1;
  const uint64_t high_mask = (uint64_t{1} << high_bits) - 1;
  TL_CHECK(high_bits <= 32) << "size " << size;
  // An alternating Feistel network: each round is invertible for halves of any widths, so that the
  // domain is less than twice the size and a walk takes less than two steps on average.
  do {
    uint64_t low = i & low_mask, high = i >> low_bits;
    for (uint32_t round = 0; round < 8; round += 2) {
      low ^= Mix(key, round, static_cast<uint32_t>(high)) & low_mask;
      high ^= Mix(key, round + 1, static_cast<uint32_t>(low)) & high_mask;
    }
    // Without this a domain of two (low_bits 0) or four knows too few permutations.
    i = ((high << low_bits | low) + Mix(key, 8, 0)) & ((uint64_t{1} << bits) - 1);
  } while (i >= size);
  return i;
}

WeightedSplit::WeightedSplit(const std::vector<double>& weights, uint64_t seed) {
  root_ = Build(weights, 0, static_cast<int>(weights.size()), seed);
}

int WeightedSplit::Build(const std::vector<double>& weights, int begin, int end, uint64_t seed) {
  Node node;
  if (end - begin == 1) {
    node.file = begin;
  } else {
    const int middle = begin + (end - begin) / 2;
    double left = 0, all = 0;
    for (int f = begin; f < end; ++f) {
      all += weights[f];
      if (f < middle) left += weights[f];
    }
    // Both sides are positive, but one may be beyond a double's reach of the other.
    const double share = std::clamp(left / all, 0x1p-53, 1.0 - 0x1p-53);
    node.share = static_cast<uint64_t>(std::ldexp(share, 64));
    const PhiloxWords words = Philox(seed, 0x53504C4954u, nodes_.size());
    node.phase = uint64_t{words.w[1]} << 32 | words.w[0];
    node.left = Build(weights, begin, middle, seed);
    node.right = Build(weights, middle, end, seed);
    // Children first, so the phase is keyed by how many nodes came before: any unique number does.
  }
  nodes_.push_back(node);
  return static_cast<int>(nodes_.size()) - 1;
}

WeightedSplit::Place WeightedSplit::Find(int64_t sample) const {
  auto n = static_cast<uint64_t>(sample);
  const Node* node = &nodes_[root_];
  while (node->file < 0) {
    const auto left_of = [node](uint64_t count) {
      const auto product = static_cast<unsigned __int128>(count) * node->share + node->phase;
      return static_cast<uint64_t>(product >> 64);
    };
    const uint64_t left = left_of(n);
    if (left_of(n + 1) > left) {
      n = left;
      node = &nodes_[node->left];
    } else {
      n -= left;
      node = &nodes_[node->right];
    }
  }
  return {node->file, static_cast<int64_t>(n)};
}

}  // namespace internal

namespace {

using internal::Permute;
using internal::WeightedSplit;

class FileSource : public DataSource {
 public:
  absl::Status Open(const BlendOptions& options) {
    if (options.files.empty()) return absl::InvalidArgumentError("no token files given");
    TL_CHECK(options.vocab > 0 && options.vocab <= int64_t{1} << 31) << options.vocab;
    vocab_ = options.vocab;
    seed_ = options.seed;
    pack_documents_ = options.pack_documents;
    for (const BlendFile& f : options.files) {
      Beat();  // there may be many
      TL_ASSIGN_OR_RETURN(auto file, TokenFile::Open(f.path));
      if (file->vocab_size() > vocab_) {
        return absl::InvalidArgumentError(absl::StrCat(f.path, ": made with a vocabulary of ",
                                                       file->vocab_size(),
                                                       ", larger than the model's, ", vocab_));
      }
      files_.push_back(std::move(file));
    }
    return absl::OkStatus();
  }

  int64_t TokenCount() const override {
    int64_t n = 0;
    for (const auto& f : files_) n += f->token_count();
    return n;
  }

  double BytesPerToken() const override {
    int64_t bytes = 0;
    for (const auto& f : files_) {
      if (f->text_bytes() == 0) return 0;
      bytes += f->text_bytes();
    }
    return static_cast<double>(bytes) / static_cast<double>(TokenCount());
  }

  absl::Status FillBatch(int64_t first_sample, int64_t count, int64_t sequence_length,
                         int64_t lookahead, HostBatch* out) const override {
    TL_CHECK(first_sample >= 0 && count >= 0 && sequence_length >= 1 && lookahead >= 1)
        << first_sample << " " << count << " " << sequence_length << " " << lookahead;
    const size_t places = static_cast<size_t>(count * sequence_length);
    out->count = count;
    out->sequence_length = sequence_length;
    out->lookahead = lookahead;
    out->tokens.resize(static_cast<size_t>(count * (sequence_length + lookahead)));
    out->inputs.resize(places);
    out->positions.resize(places);
    out->segments.resize(places);
    out->targets_storage.resize(static_cast<size_t>(lookahead) * places);
    for (int64_t i = 0; i < count; ++i) {
      TL_ASSIGN_OR_RETURN(const Window window, Find(first_sample + i, sequence_length));
      TL_RETURN_IF_ERROR(FillRow(i, window, out));
    }
    return absl::OkStatus();
  }

 protected:
  struct Window {
    const TokenFile* file = nullptr;  // null: beyond the last sample
    int64_t begin = 0;
  };

  virtual absl::StatusOr<Window> Find(int64_t sample, int64_t sequence_length) const = 0;

  std::vector<std::unique_ptr<TokenFile>> files_;
  uint64_t seed_ = 0;

 private:
  absl::Status FillRow(int64_t row, const Window& window, HostBatch* out) const {
    const int64_t T = out->sequence_length, width = T + out->lookahead;
    int32_t* tokens = out->tokens.data() + row * width;
    int64_t present = 0;
    if (window.file != nullptr) {
      present = std::min(width, window.file->token_count() - window.begin);
      TL_RETURN_IF_ERROR(window.file->ReadTokens(window.begin, present, vocab_, tokens));
    }
    std::fill(tokens + present, tokens + width, 0);

    // Cut [0, width) into runs of one document; what is beyond the text is a run of its own.
    std::vector<int64_t> cuts;
    if (pack_documents_ && present > 0) {
      TL_RETURN_IF_ERROR(FindCuts(*window.file, window.begin, present, &cuts));
    }
    if (present > 0 && present < width) cuts.push_back(present);
    cuts.push_back(width);

    std::copy(tokens, tokens + T, out->inputs.data() + row * T);
    int64_t begin = 0;
    for (size_t segment = 0; segment < cuts.size() && begin < T; ++segment) {
      const int64_t end = cuts[segment];
      // Where nothing is packed, positions run on into the padding, which nobody looks at.
      const int64_t origin = pack_documents_ ? begin : 0;
      for (int64_t t = begin; t < std::min(end, T); ++t) {
        out->positions[row * T + t] = static_cast<int32_t>(t - origin);
        out->segments[row * T + t] = static_cast<int32_t>(segment);
        for (int64_t k = 1; k <= out->lookahead; ++k) {
          const bool valid = t + k < end && end <= present;
          out->targets_storage[((k - 1) * out->count + row) * T + t] = valid ? tokens[t + k] : -1;
        }
      }
      begin = end;
    }
    return absl::OkStatus();
  }

  // Where in the window documents start that are not its first.
  static absl::Status FindCuts(const TokenFile& file, int64_t begin, int64_t size,
                               std::vector<int64_t>* cuts) {
    TL_ASSIGN_OR_RETURN(int64_t document, file.DocumentOf(begin));
    std::array<int64_t, 16> starts;
    for (++document; document < file.document_count();) {
      const int64_t n = std::min<int64_t>(std::size(starts), file.document_count() - document);
      TL_RETURN_IF_ERROR(file.DocumentStarts(document, n, starts.data()));
      for (int64_t i = 0; i < n; ++i) {
        const int64_t start = starts[i] - begin;
        if (start >= size) return absl::OkStatus();
        if (start > 0 && (cuts->empty() || cuts->back() != start)) cuts->push_back(start);
      }
      document += n;
    }
    return absl::OkStatus();
  }

  int64_t vocab_ = 0;
  bool pack_documents_ = false;
};

class Blend : public FileSource {
 public:
  absl::Status OpenAll(const BlendOptions& options) {
    std::vector<double> weights;
    for (const BlendFile& f : options.files) {
      if (!(f.weight > 0) || !std::isfinite(f.weight)) {
        return absl::InvalidArgumentError(
            absl::StrCat(f.path, ": expected a weight > 0, found ", f.weight));
      }
      weights.push_back(f.weight);
    }
    TL_RETURN_IF_ERROR(Open(options));
    split_ = std::make_unique<WeightedSplit>(weights, seed_);
    return absl::OkStatus();
  }

  int64_t SampleCount(int64_t) const override { return -1; }

 protected:
  absl::StatusOr<Window> Find(int64_t sample, int64_t sequence_length) const override {
    // All files, not just this sample's, so that every rank finds the same fault in its first
    // batch.
    for (const auto& f : files_) {
      if (f->token_count() > sequence_length) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(f->path(), ": expected at least sequence_length + 1 = ", sequence_length + 1,
                       " tokens, found ", f->token_count()));
    }
    const WeightedSplit::Place place = split_->Find(sample);
    const TokenFile& file = *files_[place.file];
    const int64_t room = file.token_count() - 1;
    int64_t windows = room / sequence_length;
    if (windows >= 16) --windows;
    const int64_t epoch = place.index / windows;
    const PhiloxWords words = Philox(seed_, static_cast<uint64_t>(epoch) << 16 | 0x57u,
                                     static_cast<uint64_t>(place.file));
    const uint64_t key = uint64_t{words.w[1]} << 32 | words.w[0];
    const int64_t offset = static_cast<int64_t>(
        words.w[2] * static_cast<uint64_t>(room - windows * sequence_length + 1) >> 32);
    const auto window =
        static_cast<int64_t>(Permute(key, static_cast<uint64_t>(windows), place.index % windows));
    return Window{&file, offset + window * sequence_length};
  }

 private:
  std::unique_ptr<WeightedSplit> split_;
};

class Sequential : public FileSource {
 public:
  int64_t SampleCount(int64_t sequence_length) const override {
    int64_t n = 0;
    for (const auto& f : files_) n += Windows(*f, sequence_length);
    return n;
  }

 protected:
  absl::StatusOr<Window> Find(int64_t sample, int64_t sequence_length) const override {
    for (const auto& f : files_) {
      const int64_t windows = Windows(*f, sequence_length);
      if (sample < windows) return Window{f.get(), sample * sequence_length};
      sample -= windows;
    }
    return Window{};
  }

 private:
  // As many as have a target: the last token is not an input.
  static int64_t Windows(const TokenFile& file, int64_t sequence_length) {
    return (file.token_count() - 1 + sequence_length - 1) / sequence_length;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<DataSource>> OpenBlend(const BlendOptions& options) {
  auto source = std::make_unique<Blend>();
  TL_RETURN_IF_ERROR(source->OpenAll(options));
  return source;
}

absl::StatusOr<std::unique_ptr<DataSource>> OpenSequential(const BlendOptions& options) {
  auto source = std::make_unique<Sequential>();
  TL_RETURN_IF_ERROR(source->Open(options));
  if (source->SampleCount(1) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.files[0].path, ": expected at least 2 tokens to evaluate on"));
  }
  return source;
}

namespace {

// The first of the files that says which tokenizer made it; null where none does.
absl::StatusOr<std::unique_ptr<TokenFile>> FirstWithTokenizer(const std::vector<BlendFile>& files) {
  std::unique_ptr<TokenFile> first;
  for (const BlendFile& f : files) {
    Beat();
    TL_ASSIGN_OR_RETURN(auto file, TokenFile::Open(f.path));
    if (file->tokenizer_kind() == TokenizerKind::kNone) continue;
    if (first != nullptr && first->tokenizer_hash() != file->tokenizer_hash()) {
      return absl::InvalidArgumentError(absl::StrCat(
          f.path, ": made with another tokenizer than ", first->path(), ": expected ",
          TokenizerKindName(first->tokenizer_kind()), " ", absl::Hex(first->tokenizer_hash()),
          ", found ", TokenizerKindName(file->tokenizer_kind()), " ",
          absl::Hex(file->tokenizer_hash())));
    }
    if (first == nullptr) first = std::move(file);
  }
  return first;
}

}  // namespace

absl::Status CheckSameTokenizer(const std::vector<BlendFile>& files) {
  return FirstWithTokenizer(files).status();
}

absl::StatusOr<std::optional<ModelText>> TextOfFiles(const std::vector<BlendFile>& files) {
  TL_ASSIGN_OR_RETURN(const auto first, FirstWithTokenizer(files));
  if (first == nullptr) return std::optional<ModelText>();
  TL_ASSIGN_OR_RETURN(std::shared_ptr<const Tokenizer> tokenizer, first->MakeTokenizer());
  ModelText text = TextOf(std::move(tokenizer));
  TextRules& rules = text.rules;
  bool said = false, all_begin = true;
  for (const BlendFile& f : files) {
    TL_ASSIGN_OR_RETURN(const auto file, TokenFile::Open(f.path));
    if (!file->end_token().has_value()) continue;
    const int32_t begin = file->begin_token().value_or(-1), end = *file->end_token();
    if (!said) rules.ends.clear();
    said = true;
    if (end >= 0 && !rules.IsEnd(end)) rules.ends.push_back(end);
    all_begin &= begin >= 0;
    rules.begin = std::max(rules.begin, begin);
  }
  rules.adds_begin = all_begin && rules.begin >= 0;
  return std::optional<ModelText>(std::move(text));
}

}  // namespace tl
