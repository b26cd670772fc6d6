// SPDX-License-Identifier: Apache-2.0
#include "infer/picture_grid.h"

#include <gtest/gtest.h>
#include <png.h>

#include <filesystem>
#include <numeric>
#include <vector>

#include "tests/data/temp_folder.h"

namespace tl {
namespace {

struct Read {
  int64_t height = 0, width = 0;
  bool has_colours = false;
  std::vector<uint8_t> pixels;  // [height, width, 3]
};

Read ReadPng(const std::string& path) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_TRUE(png_image_begin_read_from_file(&image, path.c_str())) << image.message;
  Read read{.height = image.height,
            .width = image.width,
            .has_colours = (image.format & PNG_FORMAT_FLAG_COLOR) != 0,
            .pixels = {}};
  image.format = PNG_FORMAT_RGB;
  read.pixels.resize(PNG_IMAGE_SIZE(image));
  EXPECT_TRUE(png_image_finish_read(&image, nullptr, read.pixels.data(), 0, nullptr));
  return read;
}

std::vector<uint8_t> CountedPictures(size_t n) {
  std::vector<uint8_t> pixels(n);
  std::iota(pixels.begin(), pixels.end(), uint8_t{1});
  return pixels;
}

// Every pixel is where it belongs, and all else is black.
void ExpectGrid(const Read& read, const PictureGrid& grid, int64_t columns) {
  const int64_t rows = (grid.count + columns - 1) / columns;
  ASSERT_EQ(read.height, 2 + rows * (grid.height + 2));
  ASSERT_EQ(read.width, 2 + columns * (grid.width + 2));
  EXPECT_EQ(read.has_colours, grid.channels == 3);
  std::vector<uint8_t> expected(read.pixels.size(), 0);
  for (int64_t n = 0; n < grid.count; ++n)
    for (int64_t y = 0; y < grid.height; ++y)
      for (int64_t x = 0; x < grid.width; ++x)
        for (int64_t c = 0; c < 3; ++c) {
          const int64_t at_y = 2 + n / columns * (grid.height + 2) + y;
          const int64_t at_x = 2 + n % columns * (grid.width + 2) + x;
          const int64_t channel = grid.channels == 1 ? 0 : c;
          expected[(at_y * read.width + at_x) * 3 + c] =
              grid.pictures[((n * grid.channels + channel) * grid.height + y) * grid.width + x];
        }
  EXPECT_EQ(read.pixels, expected);
}

TEST(PictureGrid, EveryPictureIsInItsPlace) {
  const std::string path = Folder() + "/grid.png";
  for (const int64_t channels : {1, 3}) {
    for (const auto& [count, columns, expected] :
         {std::tuple{1, 0, 1}, {5, 0, 3}, {6, 2, 2}, {3, 10, 3}, {16, 0, 4}}) {
      const std::vector<uint8_t> pixels =
          CountedPictures(static_cast<size_t>(count * channels * 25));
      const PictureGrid grid{.pictures = pixels,
                             .count = count,
                             .channels = channels,
                             .height = 5,
                             .width = 5,
                             .columns = columns};
      ASSERT_TRUE(WritePictureGrid(path, grid).ok());
      ExpectGrid(ReadPng(path), grid, expected);
    }
  }
}

TEST(PictureGrid, IsAboutSquareWhateverThePicturesAre) {
  const std::string path = Folder() + "/wide.png";
  const std::vector<uint8_t> pixels = CountedPictures(12 * 2 * 14);
  const PictureGrid grid{.pictures = pixels, .count = 12, .height = 2, .width = 14};
  ASSERT_TRUE(WritePictureGrid(path, grid).ok());
  ExpectGrid(ReadPng(path), grid, 2);
}

TEST(PictureGrid, SaysWhyItCannotBeWritten) {
  const std::vector<uint8_t> pixels = CountedPictures(4);
  const PictureGrid grid{.pictures = pixels, .count = 1, .height = 2, .width = 2};
  const std::string path = Folder() + "/no/grid.png";
  const absl::Status status = WritePictureGrid(path, grid);
  EXPECT_NE(std::string(status.message()).find(path), std::string::npos) << status;
  EXPECT_NE(std::string(status.message()).find("No such file"), std::string::npos) << status;
  const std::vector<uint8_t> points(40000);
  const PictureGrid huge{.pictures = points, .count = 1, .height = 1, .width = 40000};
  EXPECT_TRUE(WritePictureGrid(Folder() + "/long.png", huge).ok());
  const std::vector<uint8_t> many(1 << 26);
  const PictureGrid dots{
      .pictures = many, .count = int64_t{1} << 26, .height = 1, .width = 1, .columns = 1 << 13};
  const std::string large = std::string(WritePictureGrid(Folder() + "/x.png", dots).message());
  EXPECT_NE(large.find("x.png: expected a grid of fewer than 2^29 pixels, found 67108864 pictures"),
            std::string::npos)
      << large;
  EXPECT_FALSE(std::filesystem::exists(Folder() + "/x.png"));
}

TEST(PictureGrid, IsKnownByItsFirstBytes) {
  EXPECT_TRUE(IsPngFile("\x89PNG\r\n\x1a\nmore"));
  EXPECT_FALSE(IsPngFile("\x89PNG\n"));
  EXPECT_FALSE(IsPngFile(""));
  EXPECT_TRUE(PngShows(1) && PngShows(3));
  EXPECT_FALSE(PngShows(2) || PngShows(4));
}

}  // namespace
}  // namespace tl
