// SPDX-License-Identifier: Apache-2.0
#include "train/time_limit.h"

#include <algorithm>
#include <chrono>

namespace tl {
namespace {

const auto g_start = std::chrono::steady_clock::now();

}  // namespace

void TimeLimit::TurnEnds(double now) {
  if (last_ >= 0) slowest_ = std::max(slowest_, now - last_);
  last_ = now;
}

bool TimeLimit::Reached(double now) const {
  const double save = save_ >= 0 ? save_ : std::min(limit_ / 20, 60.0);
  return limit_ > 0 && now + slowest_ + 1.5 * save >= limit_;
}

double SecondsSinceStart() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - g_start).count();
}

}  // namespace tl
