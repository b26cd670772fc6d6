// SPDX-License-Identifier: Apache-2.0
#include "data/array_source.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/normals.h"
#include "base/philox.h"
#include "base/status.h"
#include "base/watchdog.h"
#include "data/blend.h"
#include "data/picture_file.h"
#include "data/pixels.h"

namespace tl {
namespace {

class ArraySource : public DataSource {
 public:
  ArraySource(const ArrayOptions& options, ArrayOrder order)
      : options_(options),
        shuffled_(order == ArrayOrder::kShuffled),
        order_key_(StreamKey("arrays: order", options.seed)),
        flip_key_(StreamKey("arrays: flip", options.seed)),
        // Of the evaluation too its own: its samples have the same numbers.
        cell_key_(StreamKey(shuffled_ ? "arrays: dequantize" : "arrays: dequantize in order",
                            options.seed)) {}

  absl::Status Open() {
    if (options_.files.empty()) return absl::InvalidArgumentError("no array files given");
    TL_CHECK(options_.grid.divides());
    std::vector<double> weights;
    for (const ArrayPath& f : options_.files) {
      Beat();  // there may be many
      if (shuffled_ && (!(f.weight > 0) || !std::isfinite(f.weight)))
        return absl::InvalidArgumentError(
            absl::StrCat(f.path, ": expected a weight > 0, found ", f.weight));
      weights.push_back(f.weight);
      TL_ASSIGN_OR_RETURN(auto file,
                          PictureFile::Open(f.path, f.labels, options_.grid, options_.classes));
      if (options_.dequantize && !file->is_bytes())
        return absl::InvalidArgumentError(
            absl::StrCat(f.path, ": descr: expected '|u1' for [data] dequantize = true, found '",
                         Name(file->pictures().header().type), "'"));
      files_.push_back(std::move(file));
    }
    if (shuffled_) split_.emplace(weights, StreamKey("arrays: files", options_.seed));
    return absl::OkStatus();
  }

  int64_t SampleCount(int64_t) const override { return shuffled_ ? -1 : PictureCount(); }
  int64_t TokenCount() const override { return PictureCount() * options_.grid.rows(); }

  // A value is a byte where all are.
  double BytesPerToken() const override {
    for (const auto& f : files_)
      if (!f->is_bytes()) return 0.0;
    return static_cast<double>(options_.grid.row_values());
  }

  absl::Status FillBatch(int64_t first_sample, int64_t count, int64_t sequence_length,
                         int64_t lookahead, HostBatch* out) const override {
    const PatchGrid& grid = options_.grid;
    TL_CHECK(first_sample >= 0 && count >= 0) << first_sample << " " << count;
    TL_CHECK_EQ(sequence_length, grid.rows());
    out->count = count;
    out->sequence_length = sequence_length;
    out->lookahead = lookahead;
    out->values.resize(static_cast<size_t>(count * grid.values()));
    out->labels.resize(static_cast<size_t>(count));
    out->samples.resize(static_cast<size_t>(count));
    out->bytes = BytesPerToken() > 0 && !options_.dequantize;
    std::vector<float> picture(static_cast<size_t>(grid.values()));
    std::vector<uint8_t> bytes;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t sample = first_sample + i;
      const std::optional<Place> place = Find(sample);
      out->samples[i] = place.has_value() ? sample : -1;
      out->labels[i] = -1;
      if (place.has_value()) {
        TL_ASSIGN_OR_RETURN(out->labels[i], place->file->ReadLabel(place->number));
        TL_RETURN_IF_ERROR(Read(*place, sample, &bytes, picture.data()));
      } else {
        std::fill(picture.begin(), picture.end(), 0.0f);
      }
      Patchify(grid, picture.data(), out->values.data() + i * grid.values());
    }
    return absl::OkStatus();
  }

 private:
  struct Place {
    const PictureFile* file;
    int64_t number;
  };

  int64_t PictureCount() const {
    int64_t n = 0;
    for (const auto& f : files_) n += f->count();
    return n;
  }

  // Nothing beyond the last sample.
  std::optional<Place> Find(int64_t sample) const {
    if (!shuffled_) {
      for (const auto& f : files_) {
        if (sample < f->count()) return Place{f.get(), sample};
        sample -= f->count();
      }
      return std::nullopt;
    }
    const internal::WeightedSplit::Place place = split_->Find(sample);
    const PictureFile& file = *files_[place.file];
    const PhiloxWords words = Philox(order_key_, static_cast<uint64_t>(place.index / file.count()),
                                     static_cast<uint64_t>(place.file));
    const uint64_t key = uint64_t{words.w[1]} << 32 | words.w[0];
    const uint64_t number = internal::Permute(key, static_cast<uint64_t>(file.count()),
                                              static_cast<uint64_t>(place.index % file.count()));
    return Place{&file, static_cast<int64_t>(number)};
  }

  absl::Status Read(const Place& place, int64_t sample, std::vector<uint8_t>* bytes,
                    float* picture) const {
    const PatchGrid& grid = options_.grid;
    if (place.file->is_bytes()) {
      bytes->resize(static_cast<size_t>(grid.values()));
      TL_RETURN_IF_ERROR(place.file->ReadBytes(place.number, bytes->data()));
      ToPixels(*bytes, static_cast<uint64_t>(sample), picture);
    } else {
      TL_RETURN_IF_ERROR(place.file->ReadFloats(place.number, picture));
    }
    if (!shuffled_ || !options_.flip) return absl::OkStatus();
    if ((Philox(flip_key_, static_cast<uint64_t>(sample), 0).w[0] & 1) == 0)
      return absl::OkStatus();
    for (int64_t at = 0; at < grid.values(); at += grid.width)
      std::reverse(picture + at, picture + at + grid.width);
    return absl::OkStatus();
  }

  void ToPixels(const std::vector<uint8_t>& bytes, uint64_t sample, float* picture) const {
    if (!options_.dequantize) {
      for (size_t i = 0; i < bytes.size(); ++i) picture[i] = PixelOfByte(bytes[i]);
      return;
    }
    constexpr size_t kDraws = 8;  // of 16 bits in a block
    for (size_t i = 0; i < bytes.size(); i += kDraws) {
      const PhiloxWords words = Philox(cell_key_, i / kDraws, sample);
      for (size_t j = 0; j < kDraws && i + j < bytes.size(); ++j) {
        const uint32_t word = words.w[j / 2];
        picture[i + j] =
            PixelOfByte(bytes[i + j], static_cast<uint16_t>(j % 2 == 0 ? word : word >> 16));
      }
    }
  }

  const ArrayOptions options_;
  const bool shuffled_;
  const uint64_t order_key_, flip_key_, cell_key_;
  std::vector<std::unique_ptr<PictureFile>> files_;
  std::optional<internal::WeightedSplit> split_;  // shuffled
};

}  // namespace

absl::StatusOr<std::unique_ptr<DataSource>> OpenArrays(const ArrayOptions& options,
                                                       ArrayOrder order) {
  auto source = std::make_unique<ArraySource>(options, order);
  TL_RETURN_IF_ERROR(source->Open());
  return source;
}

}  // namespace tl
