// SPDX-License-Identifier: Apache-2.0
// Pictures cut into square patches: rows of values for the trunk, and back.
//
// A picture is [C, H, W]. Patches of side p make T = (H / p) (W / p) rows, patch row by patch row,
// of P = C p^2 values each, in the order (c, dy, dx):
//   rows[ty (W / p) + tx][(c p + dy) p + dx] = picture[c][ty p + dy][tx p + dx]
#pragma once

#include <cstdint>

#include "base/check.h"
#include "config/model.h"

namespace tl {

struct PatchGrid {
  int64_t channels = 1;
  int64_t height = 1;
  int64_t width = 1;
  int64_t patch = 1;  // divides height and width

  int64_t values() const { return channels * height * width; }         // of a picture
  int64_t rows() const { return (height / patch) * (width / patch); }  // T
  int64_t row_values() const { return channels * patch * patch; }      // P
  bool divides() const { return height % patch == 0 && width % patch == 0; }
  bool operator==(const PatchGrid&) const = default;
};

// That of a model of values.
inline PatchGrid GridOf(const ModelConfig& model) {
  return {.channels = model.shape[0],
          .height = model.shape[1],
          .width = model.shape[2],
          .patch = model.patch};
}

// Calls visit(of_picture, of_rows, run) for every `run` values that lie one after the other in both.
template <typename Visit>
void ForEachPatchRun(const PatchGrid& grid, const Visit& visit) {
  TL_CHECK(grid.divides()) << grid.height << " x " << grid.width << " by " << grid.patch;
  const int64_t p = grid.patch, across = grid.width / p;
  int64_t at = 0;  // in the picture
  for (int64_t c = 0; c < grid.channels; ++c) {
    for (int64_t y = 0; y < grid.height; ++y) {
      for (int64_t tx = 0; tx < across; ++tx, at += p) {
        const int64_t row = y / p * across + tx;
        visit(at, (row * grid.channels + c) * p * p + y % p * p, p);
      }
    }
  }
}

template <typename T>
void Patchify(const PatchGrid& grid, const T* picture, T* rows) {
  ForEachPatchRun(grid, [&](int64_t from, int64_t to, int64_t run) {
    for (int64_t i = 0; i < run; ++i) rows[to + i] = picture[from + i];
  });
}

template <typename T>
void Unpatchify(const PatchGrid& grid, const T* rows, T* picture) {
  ForEachPatchRun(grid, [&](int64_t to, int64_t from, int64_t run) {
    for (int64_t i = 0; i < run; ++i) picture[to + i] = rows[from + i];
  });
}

}  // namespace tl
