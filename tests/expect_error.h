// SPDX-License-Identifier: Apache-2.0
// Errors by the parts of their messages.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tl {

inline void ExpectError(const absl::Status& status, const std::vector<std::string>& parts) {
  ASSERT_FALSE(status.ok());
  for (const std::string& part : parts) {
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos)
        << "no \"" << part << "\" in: " << status.message();
  }
}

}  // namespace tl
