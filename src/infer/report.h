// SPDX-License-Identifier: Apache-2.0
// What decoding cost and what speculation gained, beside plain decoding measured in the same run.
#pragma once

#include <string>

#include "infer/decoder.h"
#include "nlohmann/json_fwd.hpp"

namespace tl {

struct DecodeReport {
  std::string drafter;
  TreeShape tree = {};  // that it drafted, where it was a fixed one
  Verification verification = Verification::kMatch;
  DecodeStats stats = {};
  DecodeStats plain = {};  // the same prompts without drafts; with drafter "none", not measured
  double calibrated_speedup = 0.0;  // as Speculation has it
  int64_t sequences = 0;
  int64_t same_text = 0;  // of them, those that plain decoding writes to the token

  bool speculative() const { return drafter != "none"; }
  // Tokens per second over those of plain decoding.
  double measured_speedup() const;
  // tau / (t_verify / t_1 + t_draft / t_1), per pass: what the acceptance and the times of single
  // passes say.
  double predicted_speedup() const;
};

std::string ReportText(const DecodeReport& report);
nlohmann::json ReportJson(const DecodeReport& report);

}  // namespace tl
