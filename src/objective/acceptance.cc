#include "objective/acceptance.h"

#include <cmath>
#include <limits>

namespace tl {

HeadResult MakeHeadResult(const std::string& name, const HeadSums& s) {
  // Counts of logits that are NaN mean nothing.
  const auto fraction = [&](double part, double whole) {
    return whole > 0.0 && !std::isnan(s.loss) ? part / whole
                                              : std::numeric_limits<double>::quiet_NaN();
  };
  return {.name = name,
          .targets = static_cast<int64_t>(s.targets),
          .loss = fraction(s.loss, s.targets),
          .top1 = fraction(s.top1, s.targets),
          .top5 = fraction(s.top5, s.targets),
          .compared = static_cast<int64_t>(s.compared),
          .agreement = fraction(s.agreed, s.compared),
          .reached = static_cast<int64_t>(s.reached),
          .alpha = fraction(s.accepted, s.reached)};
}

double AcceptedLength(absl::Span<const HeadResult> heads) {
  double length = 1.0, product = 1.0;
  for (size_t i = 1; i < heads.size() && !std::isnan(heads[i].alpha); ++i) {
    product *= heads[i].alpha;
    length += product;
  }
  return length;
}

}  // namespace tl
