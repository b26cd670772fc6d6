// SPDX-License-Identifier: Apache-2.0
#include "infer/report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace tl {
namespace {

double PerPass(double seconds, const DecodeStats& stats) {
  return stats.passes == 0 ? 0.0 : seconds / static_cast<double>(stats.passes);
}

nlohmann::json StatsJson(const DecodeStats& stats) {
  return {{"tokens", stats.tokens},
          {"passes", stats.passes},
          {"sequence_passes", stats.sequence_passes},
          {"tau", stats.tau()},
          {"tokens_per_second", stats.tokens_per_second()},
          {"prefill_seconds", stats.prefill_seconds},
          {"draft_seconds", stats.draft_seconds},
          {"verify_seconds", stats.verify_seconds}};
}

}  // namespace

double DecodeReport::measured_speedup() const {
  const double before = plain.tokens_per_second();
  return before > 0.0 ? stats.tokens_per_second() / before : 0.0;
}

double DecodeReport::predicted_speedup() const {
  const double one = PerPass(plain.verify_seconds, plain);
  const double cost = PerPass(stats.seconds(), stats);
  return cost > 0.0 ? stats.tau() * one / cost : 0.0;
}

std::string ReportText(const DecodeReport& report) {
  const DecodeStats& s = report.stats;
  std::string text = absl::StrFormat("%d tokens of %d sequences in %d forward passes, %.1f tok/s\n",
                                     s.tokens, report.sequences, s.passes, s.tokens_per_second());
  if (!report.speculative()) return text;
  std::string drafter = report.drafter;
  if (!report.tree.empty())
    absl::StrAppendFormat(&drafter, " (a tree of %d, %d deep)", report.tree.size(),
                          report.tree.depth());
  absl::StrAppendFormat(&text, "drafts by %s, verified by %s%s; %d drafted, tau %.3f\n", drafter,
                        Name(report.verification),
                        report.verification == Verification::kTypical ? " (not lossless)" : "",
                        s.drafted, s.tau());
  for (size_t depth = 0; depth < s.drafts.offered.size(); ++depth)
    absl::StrAppendFormat(
        &text, "  position %d: accepted %.1f%% given those before, %.1f%% of all\n", depth + 1,
        100.0 * s.drafts.Conditional(depth), 100.0 * s.drafts.Unconditional(depth));
  const double measured = report.measured_speedup();
  absl::StrAppendFormat(
      &text,
      "per pass: drafting %.2f ms, verifying %.2f ms; plain decoding %.2f ms, %.1f tok/s\n"
      "speed-up %.2fx measured, %.2fx predicted by tau and the times of passes%s%s\n"
      "the same text as plain decoding: %d of %d sequences\n",
      1e3 * PerPass(s.draft_seconds, s), 1e3 * PerPass(s.verify_seconds, s),
      1e3 * PerPass(report.plain.verify_seconds, report.plain), report.plain.tokens_per_second(),
      measured, report.predicted_speedup(),
      report.calibrated_speedup > 0.0
          ? absl::StrFormat(", %.2fx when calibrated", report.calibrated_speedup)
          : "",
      measured < 1.0 ? ": speculation loses here" : "", report.same_text, report.sequences);
  return text;
}

nlohmann::json ReportJson(const DecodeReport& report) {
  nlohmann::json json = {{"drafter", report.drafter},
                         {"sequences", report.sequences},
                         {"decoding", StatsJson(report.stats)}};
  if (!report.speculative()) return json;
  const DraftCounts& drafts = report.stats.drafts;
  nlohmann::json conditional = nlohmann::json::array(), all = nlohmann::json::array();
  for (size_t depth = 0; depth < drafts.offered.size(); ++depth) {
    conditional.push_back(drafts.Conditional(depth));
    all.push_back(drafts.Unconditional(depth));
  }
  json["verification"] = Name(report.verification);
  json["lossless"] = report.verification != Verification::kTypical;
  json["drafted"] = report.stats.drafted;
  json["acceptance_conditional"] = conditional;
  json["acceptance_unconditional"] = all;
  json["plain"] = StatsJson(report.plain);
  json["speedup_measured"] = report.measured_speedup();
  json["speedup_predicted"] = report.predicted_speedup();
  if (report.calibrated_speedup > 0.0) json["speedup_calibrated"] = report.calibrated_speedup;
  json["speculation_loses"] = report.measured_speedup() < 1.0;
  json["tree_nodes"] = report.tree.size();
  json["same_text"] = report.same_text;
  return json;
}

}  // namespace tl
