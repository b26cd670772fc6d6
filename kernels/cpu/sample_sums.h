// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of each sample.
#pragma once

#include <array>

#include "device/device.h"
#include "kernels/cpu/common.h"
#include "kernels/sample_rows.h"

namespace tl::cpu {

// Calls add(sample, begin, end, sums) for all rows, in pieces of at most kPieceRows rows of one
// sample and in several threads: add adds what its rows give to the kSums vectors sums[k], fp32
// [width], which begin as zeros. totals[k], fp32 [B, width], receive a sample's pieces added in
// order, zeros for samples without rows. Null totals: null sums. Pieces are cut where the sample's
// rows are, whatever the number of threads.
template <size_t kSums, class F>
void SumBySample(Stream& stream, const std::array<Tensor, kSums>& totals, const SampleRows& samples,
                 int64_t rows, int64_t width, int threads, const F& add) {
  constexpr int64_t kPieceRows = 64;
  using Sums = std::array<float*, kSums>;
  const bool wanted = static_cast<bool>(totals[0]);
  const int64_t first = samples.SampleOf(0);
  const int64_t here = rows == 0 ? 0 : samples.SampleOf(rows - 1) - first + 1;
  const int64_t pieces = (samples.rows_per_sample + kPieceRows - 1) / kPieceRows;
  const auto totals_of = [&](int64_t sample) {
    Sums out;
    for (size_t k = 0; k < kSums; ++k)
      out[k] = totals[k].template as<float>() + sample * totals[k].strides[0];
    return out;
  };
  const int64_t stride = (width + 15) / 16 * 16;  // threads do not share a cache line
  float* partials = nullptr;
  if (wanted && pieces > 1) {
    const auto bytes = static_cast<size_t>(here * pieces * stride) * kSums * sizeof(float);
    partials = reinterpret_cast<float*>(stream.Scratch(bytes));
  }
  const auto sums_of = [&](int64_t sample, int64_t piece) {
    if (partials == nullptr) return totals_of(sample);
    Sums out;
    for (size_t k = 0; k < kSums; ++k)
      out[k] = partials + (((sample - first) * pieces + piece) * int64_t{kSums} + k) * stride;
    return out;
  };

  ParallelRanges(here * pieces, threads, 1, [&](int, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t sample = first + i / pieces, piece = i % pieces;
      const int64_t last = samples.Begin(sample + 1, rows);
      const int64_t begin = std::min(samples.Begin(sample, rows) + piece * kPieceRows, last);
      Sums sums = {};
      if (wanted) {
        sums = sums_of(sample, piece);
        for (float* sum : sums) std::fill_n(sum, width, 0.0f);
      }
      add(sample, begin, std::min(begin + kPieceRows, last), sums);
    }
  });
  if (!wanted) return;
  const int64_t count = totals[0].shape[0];
  ParallelRanges(count, threads, 1, [&](int, int64_t from, int64_t to) {
    for (int64_t sample = from; sample < to; ++sample) {
      const Sums out = totals_of(sample);
      const bool absent = sample < first || sample >= first + here;
      for (size_t k = 0; k < kSums; ++k) {
        if (absent) std::fill_n(out[k], width, 0.0f);
        if (absent || partials == nullptr) continue;
        std::copy_n(sums_of(sample, 0)[k], width, out[k]);
        for (int64_t piece = 1; piece < pieces; ++piece) {
          const float* part = sums_of(sample, piece)[k];
          for (int64_t j = 0; j < width; ++j) out[k][j] += part[j];
        }
      }
    }
  });
}

}  // namespace tl::cpu
