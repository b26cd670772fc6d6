// What heads are worth: how often they hit the data, and how long the drafts are that decoding with
// them would accept. The sums come from kernels/head_metrics.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "kernels/head_metrics.h"

namespace tl {

// Loss and fractions are NaN where nothing was counted, and where the loss is NaN.
struct HeadResult {
  std::string name;
  int64_t targets = 0;     // unmasked
  double loss = 0.0;       // nats per target
  double top1 = 0.0;       // fraction of targets that no token was likelier than
  double top5 = 0.0;       // fraction of targets among the five likeliest tokens
  int64_t compared = 0;    // tokens with a known token of the main head's for the same place
  double agreement = 0.0;  // fraction of them at which this head's greedy token is that token
  int64_t reached = 0;     // compared tokens that decoding would have come to this head at
  // Conditional acceptance: the fraction of them at which the head's greedy token is the main
  // head's.
  double alpha = 0.0;
};

HeadResult MakeHeadResult(const std::string& name, const HeadSums& sums);

// The expected number of tokens per step of greedy decoding that drafts with all heads after the
// first and verifies with the first: 1 + sum_j prod_{i <= j} alpha_i over heads 2, 3, ... An alpha
// that nothing was counted for ends the sum.
double AcceptedLength(absl::Span<const HeadResult> heads);

}  // namespace tl
