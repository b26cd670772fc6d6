// SPDX-License-Identifier: Apache-2.0
// [objective]: what is trained on top of the trunk. Its keys are those of the objectives, which are
// not known here: each reads its own by ObjectiveKeys.
#pragma once

#include <map>
#include <string>

#include "config/value.h"

namespace tl {

struct ObjectiveConfig {
  std::string name = "next_token";
  std::map<std::string, ConfigValue> values = {};  // of keys that have not their default

  template <typename T>
  void Set(const std::string& key, const T& value) {
    values[key] = ToValue(value);
  }
  bool operator==(const ObjectiveConfig&) const = default;
};

}  // namespace tl
