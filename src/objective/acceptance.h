// SPDX-License-Identifier: Apache-2.0
// What heads that predict tokens are worth: how often they hit the data, and how long the drafts
// are that decoding with them would accept. The sums come from kernels/head_metrics.h.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "kernels/head_metrics.h"
#include "objective/report.h"

namespace tl {

// Of the targets, those that no token was likelier than, and those among the five likeliest.
inline constexpr MeasureKind kTop1 = {.name = "top1", .title = "top-1"};
inline constexpr MeasureKind kTop5 = {.name = "top5", .title = "top-5"};
// Conditional acceptance: of the tokens that decoding would have come to this head at, those at
// which its greedy token is the main head's.
inline constexpr MeasureKind kAcceptance = {
    .name = "alpha", .title = "acceptance", .of_name = "reached", .of_title = "tokens reached"};
// The same of all tokens with a known token of the main head's for the same place.
inline constexpr MeasureKind kAgreement = {.name = "agreement",
                                           .title = "agreement",
                                           .of_name = "compared",
                                           .of_title = "tokens compared",
                                           .plotted = false};

// The main head, which the others are measured by, has no acceptance and no agreement.
HeadResult TokenHeadResult(const std::string& name, const HeadSums& sums, bool main);

// The acceptance of every head that reports one, in their order.
std::vector<double> Acceptances(absl::Span<const HeadResult> heads);

// The expected number of tokens per step of greedy decoding that drafts with heads of these
// acceptances and verifies with the main head: 1 + sum_j prod_{i <= j} alpha_i. An alpha that
// nothing was counted for ends the sum.
double AcceptedLength(absl::Span<const double> alphas);

}  // namespace tl
