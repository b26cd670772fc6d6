// SPDX-License-Identifier: Apache-2.0
#include "infer/picture_grid.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/files.h"

namespace tl {
namespace {

constexpr int64_t kGap = 2;  // pixels

// Pixels [height, width, channels] of all of it.
struct Canvas {
  int64_t height, width;
  std::vector<uint8_t> pixels;
};

Canvas Draw(const PictureGrid& grid, int64_t columns) {
  const int64_t rows = (grid.count + columns - 1) / columns;
  Canvas canvas{.height = kGap + rows * (grid.height + kGap),
                .width = kGap + columns * (grid.width + kGap),
                .pixels = {}};
  canvas.pixels.resize(static_cast<size_t>(canvas.height * canvas.width * grid.channels));
  const uint8_t* from = grid.pictures.data();
  for (int64_t n = 0; n < grid.count; ++n) {
    const int64_t top = kGap + n / columns * (grid.height + kGap);
    const int64_t left = kGap + n % columns * (grid.width + kGap);
    for (int64_t c = 0; c < grid.channels; ++c) {
      for (int64_t y = 0; y < grid.height; ++y) {
        uint8_t* to = canvas.pixels.data() + ((top + y) * canvas.width + left) * grid.channels + c;
        for (int64_t x = 0; x < grid.width; ++x, to += grid.channels) *to = *from++;
      }
    }
  }
  return canvas;
}

}  // namespace

bool IsPngFile(absl::string_view first_bytes) {
  return absl::StartsWith(first_bytes, "\x89PNG\r\n\x1a\n");
}

absl::Status WritePictureGrid(const std::string& path, const PictureGrid& grid) {
  TL_CHECK(grid.count >= 1 && grid.height >= 1 && grid.width >= 1 && PngShows(grid.channels));
  TL_CHECK_EQ(static_cast<int64_t>(grid.pictures.size()),
              grid.count * grid.channels * grid.height * grid.width);
  // Wide where it is not square: the sides are compared in pixels.
  const double square = std::sqrt(static_cast<double>(grid.count * (grid.height + kGap)) /
                                  static_cast<double>(grid.width + kGap));
  const int64_t columns = std::clamp<int64_t>(
      grid.columns > 0 ? grid.columns : static_cast<int64_t>(std::ceil(square)), 1, grid.count);
  const int64_t rows = (grid.count + columns - 1) / columns;
  // libpng counts in 32 bits.
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const int64_t high = kGap + rows * (grid.height + kGap);
  const int64_t wide = kGap + columns * (grid.width + kGap);
  if (high > kMost / 4 / wide)
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a grid of fewer than 2^29 pixels, found ", grid.count,
                     " pictures, ", wide, " x ", high, " pixels"));
  const Canvas canvas = Draw(grid, columns);

  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(canvas.width);
  image.height = static_cast<png_uint_32>(canvas.height);
  image.format = grid.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, canvas.pixels.data(), 0, nullptr) ==
      0)
    return absl::InternalError(absl::StrCat(path, ": libpng: ", image.message));
  bytes.resize(size);
  return ReplaceFile(path, bytes);
}

}  // namespace tl
