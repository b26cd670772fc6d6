// SPDX-License-Identifier: Apache-2.0
#include "base/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/check.h"
#include "base/live_line.h"
#include "base/screen.h"

namespace tl {
namespace {

spdlog::logger& Logger() {
  static const auto logger = [] {
    auto result = spdlog::stderr_color_mt("trunkline");
    result->set_pattern("%^%l%$: %v");
    const bool colours = ScreenOf(STDERR_FILENO).there();
    static_cast<spdlog::sinks::stderr_color_sink_mt&>(*result->sinks()[0])
        .set_color_mode(colours ? spdlog::color_mode::always : spdlog::color_mode::never);
    return result;
  }();
  return *logger;
}

std::string WithRank(const std::string& message) {
  return LogRank() > 0 ? "rank " + std::to_string(LogRank()) + ": " + message : message;
}

}  // namespace

void LogInfo(const std::string& message) {
  const NoLiveLine none(STDERR_FILENO);
  Logger().info(WithRank(message));
}
void LogWarning(const std::string& message) {
  const NoLiveLine none(STDERR_FILENO);
  Logger().warn(WithRank(message));
}
void LogError(const std::string& message) {
  const NoLiveLine none(STDERR_FILENO);
  Logger().error(WithRank(message));
}

}  // namespace tl
