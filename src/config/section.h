// SPDX-License-Identifier: Apache-2.0
// Builds the rows of a section from the fields of its struct.
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "config/config.h"
#include "config/key.h"

namespace tl {

// The section of a struct S within Config.
template <typename S>
class SectionOf {
 public:
  // of: &Config::model, or what gives the struct.
  SectionOf(const char* name, const char* doc, std::function<S&(Config&)> of)
      : section_{.name = name, .doc = doc}, of_(std::move(of)) {}

  template <typename T>
  ConfigKey& Key(const char* name, T S::* field, const char* doc) {
    ConfigKey key{.section = section_.name, .name = name, .type = TypeOf<T>(), .doc = doc};
    key.get = [of = of_, field](const Config& c) {
      return ToValue(of(const_cast<Config&>(c)).*field);
    };
    key.set = [of = of_, field](Config& c, const ConfigValue& v) { FromValue(v, &(of(c).*field)); };
    if constexpr (std::is_enum_v<T>) key.choices = EnumNames<T>();
    return section_.keys.emplace_back(std::move(key));
  }

  ConfigSection Take() { return std::move(section_); }

 private:
  ConfigSection section_;
  std::function<S&(Config&)> of_;
};

}  // namespace tl
