// SPDX-License-Identifier: Apache-2.0
// The largest logits of a vocabulary that is divided over ranks are those of the whole one.
#include "engine/logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/philox.h"
#include "kernels/top_k.h"

namespace tl {
namespace {

struct Top {
  std::vector<float> values;
  std::vector<int32_t> ids;
};

Top TopOf(const std::vector<float>& x, int64_t rows, int64_t stride, int64_t first, int64_t columns,
          int64_t k) {
  Top top{std::vector<float>(static_cast<size_t>(rows * k)),
          std::vector<int32_t>(static_cast<size_t>(rows * k))};
  Stream stream = Stream::Cpu();
  const Tensor all = Tensor::Of(const_cast<float*>(x.data()), {rows, stride});
  TopK(stream, {.values = Tensor::Of(top.values.data(), {rows, k}),
                .ids = Tensor::Of(top.ids.data(), {rows, k}),
                .x = all.Slice(1, first, first + columns)});
  return top;
}

void ExpectMerged(const std::vector<float>& x, int64_t rows, int64_t vocab, int64_t ranks,
                  int64_t k) {
  const int64_t part = (vocab + ranks - 1) / ranks + 1;  // the last ranks hold padding
  std::vector<int32_t> found;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const int64_t first = std::min(rank * part, vocab);
    const Top top = TopOf(x, rows, vocab, first, std::min(part, vocab - first), k);
    const size_t values = found.size();
    found.resize(values + top.values.size());
    std::memcpy(found.data() + values, top.values.data(), top.values.size() * sizeof(float));
    found.insert(found.end(), top.ids.begin(), top.ids.end());
  }
  const Top expected = TopOf(x, rows, vocab, 0, vocab, k);
  Top merged{std::vector<float>(expected.values.size()), std::vector<int32_t>(expected.ids.size())};
  MergeLargest(found.data(), ranks, rows, k, part, merged.values.data(), merged.ids.data());
  EXPECT_EQ(merged.ids, expected.ids) << vocab << " tokens on " << ranks << " ranks, " << k;
  for (size_t i = 0; i < merged.values.size(); ++i)
    EXPECT_TRUE(merged.values[i] == expected.values[i] ||
                (std::isnan(merged.values[i]) && std::isnan(expected.values[i])));
}

TEST(MergeLargest, IsThatOfTheWholeVocabulary) {
  for (const int64_t vocab : {5, 67, 1000}) {
    for (const int64_t ranks : {1, 2, 3, 4}) {
      for (const int64_t k : {1, 4, 5, 60}) {
        if (k > vocab) continue;
        std::vector<float> x(static_cast<size_t>(3 * vocab));
        // Of few values, so that ranks hold equals.
        for (size_t i = 0; i < x.size(); ++i)
          x[i] = std::round(3.0f * PhiloxNormal(static_cast<uint64_t>(vocab), i));
        ExpectMerged(x, 3, vocab, ranks, k);
      }
    }
  }
}

TEST(MergeLargest, NanAndInfinityAreTokensToo) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = NAN;
  ExpectMerged({kNan, -kInf, -kInf, kNan, 1.0f, kInf, -kInf, kNan}, 1, 8, 3, 8);
  ExpectMerged({kNan, kNan, kNan, kNan, kNan, -kInf}, 1, 6, 2, 2);
}

}  // namespace
}  // namespace tl
