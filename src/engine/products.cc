// SPDX-License-Identifier: Apache-2.0
#include "engine/products.h"

#include <algorithm>

#include "engine/measure.h"

namespace tl {
namespace {

// Gives a matrix memory in which its rows lie where its strides say.
Tensor Fill(RandomMemory& memory, const Tensor& x, int64_t alignment) {
  const int64_t offset = alignment < kMatmulAlignment ? alignment : 0;
  return memory.Make({x.shape[0], x.strides[0]}, x.dtype, offset).Slice(1, 0, x.shape[1]);
}

}  // namespace

size_t TimedProduct::Best() const {
  return static_cast<size_t>(std::min_element(seconds.begin(), seconds.end()) - seconds.begin());
}

std::vector<TimedProduct> TimeProducts(Stream& stream, const std::vector<MatmulMade>& all,
                                       double seconds) {
  std::vector<TimedProduct> timed;
  for (const MatmulMade& made : all) {
    RandomMemory memory(stream);
    MatmulArgs args = made.args;
    args.a = Fill(memory, args.a, made.alignment[0]);
    args.b = Fill(memory, args.b, made.alignment[1]);
    args.c = Fill(memory, args.c, made.alignment[2]);
    if (args.bias.rank() > 0) args.bias = memory.Make(args.bias.shape, args.bias.dtype);
    TimedProduct product{.made = made, .seconds = {}};
    for (const MatmulChoice& choice : made.choices) {
      args.choice = &choice;
      product.seconds.push_back(FastestSeconds(stream, seconds, [&] { Matmul(stream, args); }));
    }
    timed.push_back(std::move(product));
  }
  return timed;
}

}  // namespace tl
