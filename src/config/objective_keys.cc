// SPDX-License-Identifier: Apache-2.0
#include "config/objective_keys.h"

#include "config/config.h"

namespace tl {

ConfigKey ObjectiveKey(const std::string& name, const ConfigValue& by_default) {
  ConfigKey key{.section = "objective", .name = name, .type = ValueType::kText, .doc = ""};
  key.at_resume = AtResume::kLoss;
  key.get = [name, by_default](const Config& c) {
    const auto it = c.objective.values.find(name);
    return it == c.objective.values.end() ? by_default : it->second;
  };
  key.set = [name, by_default](Config& c, const ConfigValue& value) {
    if (value == by_default) {
      c.objective.values.erase(name);
    } else {
      c.objective.values[name] = value;
    }
  };
  return key;
}

}  // namespace tl
