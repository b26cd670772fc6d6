// SPDX-License-Identifier: Apache-2.0
// Pictures side by side in one PNG file, by libpng.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tl {

struct PictureGrid {
  absl::Span<const uint8_t> pictures;  // [count, channels, height, width]
  int64_t count = 0;                   // 1 or more
  int64_t channels = 1;                // 1: grey, 3: red, green and blue; PngShows tells
  int64_t height = 0;
  int64_t width = 0;
  int64_t columns = 0;  // 0: as many as make the grid about square
};

// Tells whether pictures of so many channels can be shown.
inline bool PngShows(int64_t channels) { return channels == 1 || channels == 3; }

// Tells a PNG file by its first bytes.
bool IsPngFile(absl::string_view first_bytes);

// Writes the pictures row by row, two black pixels between them and around, in one step: a reader
// sees the old file or the new.
absl::Status WritePictureGrid(const std::string& path, const PictureGrid& grid);

}  // namespace tl
