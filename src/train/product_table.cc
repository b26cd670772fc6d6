// SPDX-License-Identifier: Apache-2.0
#include "train/product_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tl {
namespace {

// "TN +=": A transposed, added to C.
std::string OpText(const MatmulArgs& p) {
  return absl::StrCat(p.trans_a == Transpose::kYes ? "T" : "N",
                      p.trans_b == Transpose::kYes ? "T" : "N", p.beta != 0.0f ? " +=" : "",
                      p.bias.rank() > 0 ? " bias" : "");
}

std::string ChoiceText(const MatmulChoice& choice) {
  std::string text = absl::StrFormat("%d of mask 0x%x: algorithm %d, tile %d", choice.place,
                                     choice.mask, choice.id, choice.tile);
  if (choice.parts > 1)
    absl::StrAppendFormat(&text, ", %d parts %s", choice.parts, Name(choice.reduction));
  return text;
}

// The fastest of the mask that training takes its first choice of.
double BestLikeTraining(const TimedProduct& product) {
  const std::vector<MatmulChoice>& choices = product.made.choices;
  double best = product.seconds[0];
  for (size_t i = 1; i < choices.size(); ++i) {
    if (choices[i].mask == choices[0].mask) best = std::min(best, product.seconds[i]);
  }
  return best;
}

double Percent(double first, double better) { return 100.0 * (1.0 - better / first); }

}  // namespace

std::string ProductTable(const std::vector<TimedProduct>& products) {
  if (products.empty()) return "";
  std::string text = absl::StrFormat(
      "products        cuBLASLt's choices of masks 0x%x, whose first training takes, and 0x7:\n"
      "    %8s %7s %7s %7s %-7s %-13s %-22s %9s %9s %8s %7s  %s\n",
      products[0].made.choices[0].mask, "calls", "m", "n", "k", "op", "types", "strides of A, B, C",
      "first ms", "best ms", "TFLOP/s", "gain", "the best");
  double first = 0.0, of_mask = 0.0, best = 0.0;
  for (const TimedProduct& product : products) {
    const MatmulArgs& p = product.made.args;
    const int64_t m = p.c.shape[0], n = p.c.shape[1];
    const int64_t k = p.a.shape[p.trans_a == Transpose::kYes ? 0 : 1];
    const size_t winner = product.Best();
    const double t = product.seconds[0], least = product.seconds[winner];
    absl::StrAppendFormat(&text,
                          "    %8d %7d %7d %7d %-7s %-13s %-22s %9.4f %9.4f %8.1f %5.1f %%  %s\n",
                          product.made.calls, m, n, k, OpText(p),
                          absl::StrCat(Name(p.a.dtype), " to ", Name(p.c.dtype)),
                          absl::StrCat(p.a.strides[0], " ", p.b.strides[0], " ", p.c.strides[0]),
                          t * 1e3, least * 1e3, 1e-12 * MatmulFlops(m, n, k) / least,
                          Percent(t, least), ChoiceText(product.made.choices[winner]));
    const auto calls = static_cast<double>(product.made.calls);
    first += calls * t;
    of_mask += calls * BestLikeTraining(product);
    best += calls * least;
  }
  absl::StrAppendFormat(&text,
                        "    in all, by their calls: the best would take %.1f %% less time, the "
                        "best of mask 0x%x %.1f %% less\n",
                        Percent(first, best), products[0].made.choices[0].mask,
                        Percent(first, of_mask));
  return text;
}

}  // namespace tl
