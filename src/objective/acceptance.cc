// SPDX-License-Identifier: Apache-2.0
#include "objective/acceptance.h"

#include <cmath>
#include <limits>

namespace tl {

HeadResult TokenHeadResult(const std::string& name, const HeadSums& s, bool main) {
  // Counts of logits that are NaN mean nothing.
  const auto fraction = [&](double part, double whole) {
    return whole > 0.0 && !std::isnan(s.loss) ? part / whole
                                              : std::numeric_limits<double>::quiet_NaN();
  };
  const auto measure = [&](const MeasureKind& kind, double part, double whole) {
    return Measure{&kind, fraction(part, whole), static_cast<int64_t>(whole)};
  };
  HeadResult result = {
      .name = name,
      .targets = static_cast<int64_t>(s.targets),
      .loss = fraction(s.loss, s.targets),
      .measures = {measure(kTop1, s.top1, s.targets), measure(kTop5, s.top5, s.targets)}};
  if (main) return result;
  result.measures.push_back(measure(kAcceptance, s.accepted, s.reached));
  result.measures.push_back(measure(kAgreement, s.agreed, s.compared));
  return result;
}

std::vector<double> Acceptances(absl::Span<const HeadResult> heads) {
  std::vector<double> alphas;
  for (const HeadResult& head : heads) {
    if (const Measure* alpha = head.Find(kAcceptance)) alphas.push_back(alpha->value);
  }
  return alphas;
}

double AcceptedLength(absl::Span<const double> alphas) {
  double length = 1.0, product = 1.0;
  for (size_t i = 0; i < alphas.size() && !std::isnan(alphas[i]); ++i) {
    product *= alphas[i];
    length += product;
  }
  return length;
}

}  // namespace tl
