// SPDX-License-Identifier: Apache-2.0
#include "base/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "base/check.h"

namespace tl {
namespace {

spdlog::logger& Logger() {
  static const auto logger = [] {
    auto result = spdlog::stderr_color_mt("trunkline");
    result->set_pattern("%^%l%$: %v");
    return result;
  }();
  return *logger;
}

std::string WithRank(const std::string& message) {
  return LogRank() > 0 ? "rank " + std::to_string(LogRank()) + ": " + message : message;
}

}  // namespace

void LogInfo(const std::string& message) { Logger().info(WithRank(message)); }
void LogWarning(const std::string& message) { Logger().warn(WithRank(message)); }
void LogError(const std::string& message) { Logger().error(WithRank(message)); }

}  // namespace tl
