#include "objective/acceptance.h"

#include <cmath>

namespace tl {

HeadResult MakeHeadResult(const std::string& name, const HeadSums& s) {
  return {.name = name,
          .targets = static_cast<int64_t>(s.targets),
          .loss = s.loss / s.targets,
          .top1 = s.top1 / s.targets,
          .top5 = s.top5 / s.targets,
          .compared = static_cast<int64_t>(s.compared),
          .agreement = s.agreed / s.compared,
          .reached = static_cast<int64_t>(s.reached),
          .alpha = s.accepted / s.reached};
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
