// SPDX-License-Identifier: Apache-2.0
// A length of time as people write it: "3h50m", "90s", "1.5h", "2d", or seconds: "600".
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace tl {

struct Duration {
  double seconds = 0.0;
  bool operator==(const Duration&) const = default;
};

// Reads a duration that is not negative; an error says what was expected.
absl::StatusOr<Duration> ParseDuration(const std::string& text);
// Writes what ParseDuration reads back: "3h50m", "0s".
std::string ToString(Duration duration);

}  // namespace tl
