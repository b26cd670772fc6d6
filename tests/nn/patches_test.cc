// SPDX-License-Identifier: Apache-2.0
#include "nn/patches.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace tl {
namespace {

std::vector<int> Counted(int64_t n) {
  std::vector<int> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST(Patches, RowsAreInTheOrderThatTheHeaderSays) {
  const PatchGrid grid{.channels = 2, .height = 4, .width = 6, .patch = 2};
  EXPECT_EQ(grid.rows(), 6);
  EXPECT_EQ(grid.row_values(), 8);
  const std::vector<int> picture = Counted(grid.values());
  std::vector<int> rows(picture.size(), -1);
  Patchify(grid, picture.data(), rows.data());
  for (int ty = 0; ty < 2; ++ty)
    for (int tx = 0; tx < 3; ++tx)
      for (int c = 0; c < 2; ++c)
        for (int dy = 0; dy < 2; ++dy)
          for (int dx = 0; dx < 2; ++dx)
            EXPECT_EQ(rows[(ty * 3 + tx) * 8 + (c * 2 + dy) * 2 + dx],
                      (c * 4 + ty * 2 + dy) * 6 + tx * 2 + dx);
}

TEST(Patches, ThereAndBack) {
  for (const PatchGrid& grid :
       {PatchGrid{1, 28, 28, 4}, PatchGrid{3, 8, 8, 2}, PatchGrid{3, 6, 4, 1},
        PatchGrid{2, 1, 1, 1}, PatchGrid{3, 5, 5, 5}}) {
    EXPECT_EQ(grid.rows() * grid.row_values(), grid.values());
    const std::vector<int> picture = Counted(grid.values());
    std::vector<int> rows(picture.size(), -1), back(picture.size(), -1);
    Patchify(grid, picture.data(), rows.data());
    Unpatchify(grid, rows.data(), back.data());
    EXPECT_EQ(back, picture);
    if (grid.patch == 1 || grid.rows() == 1) {
      EXPECT_EQ(rows == picture, grid.channels == 1 || grid.rows() == 1);
    }
  }
}

TEST(Patches, SidesThatDoNotDivide) {
  EXPECT_FALSE((PatchGrid{1, 28, 28, 5}.divides()));
  EXPECT_FALSE((PatchGrid{1, 28, 27, 4}.divides()));
  EXPECT_TRUE((PatchGrid{1, 28, 24, 4}.divides()));
}

}  // namespace
}  // namespace tl
