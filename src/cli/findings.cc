// SPDX-License-Identifier: Apache-2.0
#include "cli/findings.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/exit_code.h"
#include "checkpoint/reader.h"

namespace tl {

std::string HealthText(const RunState& run) {
  return run.unhealthy_since == 0
             ? "good"
             : absl::StrCat("whole, but unhealthy since step ", run.unhealthy_since);
}

bool Findings::Add(const absl::Status& status) {
  if (absl::IsPermissionDenied(status)) {
    AddUnchecked(status);
    return false;
  }
  ++all_;
  bad_ += !status.ok();
  return !status.ok();
}

void Findings::AddHealth(const RunState& run) {
  ++all_;
  unhealthy_ += run.unhealthy_since > 0;
}

void Findings::AddUnchecked(const absl::Status& why) {
  ++all_;
  if (unchecked_++ == 0) first_unchecked_ = why;
  absl::PrintF("not checked: %s\n", why.message());
}

void Findings::VerifyCheckpoint(const std::string& path) {
  const auto reader = CheckpointReader::Open(path);
  absl::Status status = reader.status();
  if (status.ok()) {
    status = (*reader)->VerifyFiles([](const std::string& what) { absl::PrintF("  %s\n", what); });
  } else if (!absl::IsPermissionDenied(status)) {
    absl::PrintF("  %s\n", status.message());
  }
  if (!status.ok()) {
    if (Add(status)) absl::PrintF("%s: bad\n", path);
    return;
  }
  const RunState& run = (*reader)->manifest().run;
  AddHealth(run);
  absl::PrintF("%s: %s\n", path, HealthText(run));
}

absl::Status Findings::End(const std::string& what) const {
  const auto are = [&](int count, const char* how) {
    return absl::StrCat(count, " of ", all_, " ", what, " ", how);
  };
  std::vector<std::string> parts;
  if (bad_ > 0) parts.push_back(are(bad_, "are bad"));
  if (unhealthy_ > 0)
    parts.push_back(are(unhealthy_, "are unhealthy: losses, gradients or weights were not finite"));
  const bool found = !parts.empty();
  if (unchecked_ > 0)
    parts.push_back(are(unchecked_, "could not be checked: ") +
                    std::string(first_unchecked_.message()));
  const std::string text = absl::StrJoin(parts, ", ");
  if (found) return EndWith(kExitFinding, text);
  return unchecked_ > 0 ? absl::Status(first_unchecked_.code(), text) : absl::OkStatus();
}

}  // namespace tl
