// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "base/check.h"
#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"

namespace tl::simt {
namespace {

RecordLaunches* g_recorder = nullptr;

}  // namespace

// What was asked before runs, and what is asked now never does.
RecordLaunches::RecordLaunches() {
  TL_CHECK(g_recorder == nullptr);
  DrainAll();
  g_recorder = this;
}
RecordLaunches::~RecordLaunches() { g_recorder = nullptr; }

std::vector<RecordedLaunch> RecordLaunches::Of(const std::string& kernel) const {
  static std::map<void*, std::string> names;
  std::vector<RecordedLaunch> found;
  for (const RecordedLaunch& launch : launches_) {
    const auto [named, is_new] = names.try_emplace(launch.kernel);
    if (is_new) named->second = Where(launch.kernel);
    if (named->second.find(kernel) != std::string::npos) found.push_back(launch);
  }
  return found;
}

bool Recording() { return g_recorder != nullptr; }

bool Recorded(const RecordedLaunch& launch) {
  if (Recording()) g_recorder->launches_.push_back(launch);
  return Recording();
}

bool Recorded(const RecordedProduct& product) {
  if (Recording()) g_recorder->products_.push_back(product);
  return Recording();
}

}  // namespace tl::simt
