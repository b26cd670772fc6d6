// SPDX-License-Identifier: Apache-2.0
#include "base/exit_code.h"

#include <cstdlib>

#include "absl/strings/cord.h"

namespace tl {
namespace {

constexpr char kPayload[] = "trunkline/exit_code";

}  // namespace

absl::Status EndWith(int exit_code, const std::string& message) {
  absl::Status status = absl::CancelledError(message);
  status.SetPayload(kPayload, absl::Cord(std::to_string(exit_code)));
  return status;
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitDone;
  const auto code = status.GetPayload(kPayload);
  return code ? std::atoi(std::string(*code).c_str()) : kExitError;
}

}  // namespace tl
