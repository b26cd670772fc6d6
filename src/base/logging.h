// SPDX-License-Identifier: Apache-2.0
// Log lines for people, on stderr, prefixed by the rank where several run. Progress and tables of
// a command go to stdout by its own means.
#pragma once

#include <string>

namespace tl {

void LogInfo(const std::string& message);
void LogWarning(const std::string& message);
void LogError(const std::string& message);

}  // namespace tl
