// SPDX-License-Identifier: Apache-2.0
// The keys that an objective gives the [objective] section.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/key.h"
#include "config/objective.h"

namespace tl {

// A row whose value is kept where it is not the default.
ConfigKey ObjectiveKey(const std::string& name, const ConfigValue& by_default);

// The keys of an objective: rows over the fields of its struct S. Several objectives may have a key
// of one name, if its type, range and default are the same.
template <typename S>
class ObjectiveKeys {
 public:
  template <typename T>
  ConfigKey& Key(const char* name, T S::* field, const char* doc) {
    readers_.push_back([name = std::string(name), field](const ObjectiveConfig& o, S& out) {
      if (const auto it = o.values.find(name); it != o.values.end())
        FromValue(it->second, &(out.*field));
    });
    ConfigKey& key = rows_.emplace_back(ObjectiveKey(name, ToValue(S().*field)));
    key.type = TypeOf<T>();
    key.doc = doc;
    if constexpr (std::is_enum_v<T>) key.choices = EnumNames<T>();
    return key;
  }

  const std::vector<ConfigKey>& rows() const { return rows_; }
  S Read(const ObjectiveConfig& config) const {
    S out;
    for (const auto& read : readers_) read(config, out);
    return out;
  }

 private:
  std::vector<ConfigKey> rows_;
  std::vector<std::function<void(const ObjectiveConfig&, S&)>> readers_;
};

}  // namespace tl
