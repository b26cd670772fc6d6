// SPDX-License-Identifier: Apache-2.0
// The values of config keys.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/duration.h"
#include "config/data.h"

namespace tl {

// A value as TOML has it; the name stands for an enumerator.
using ConfigValue = std::variant<bool, int64_t, double, std::string, Duration, std::vector<int64_t>,
                                 std::vector<double>, std::vector<WeightedPath>>;

// The names of an enum whose Name() gives "?" beyond its last enumerator.
template <typename E>
std::vector<std::string> EnumNames() {
  std::vector<std::string> names;
  for (int i = 0; std::strcmp(Name(static_cast<E>(i)), "?") != 0; ++i)
    names.emplace_back(Name(static_cast<E>(i)));
  return names;
}

// Between the type of a field and that of its value.
template <typename T>
ConfigValue ToValue(const T& field) {
  if constexpr (std::is_enum_v<T>) {
    return std::string(Name(field));
  } else if constexpr (std::is_same_v<T, int>) {
    return int64_t{field};
  } else {
    return field;
  }
}

template <typename T>
void FromValue(const ConfigValue& value, T* field) {
  if constexpr (std::is_enum_v<T>) {
    const auto& name = std::get<std::string>(value);
    for (int i = 0; std::strcmp(Name(static_cast<T>(i)), "?") != 0; ++i)
      if (name == Name(static_cast<T>(i))) *field = static_cast<T>(i);
  } else if constexpr (std::is_same_v<T, int>) {
    *field = static_cast<int>(std::get<int64_t>(value));
  } else {
    *field = std::get<T>(value);
  }
}

// A TOML basic string.
std::string QuoteToml(const std::string& text);
// The value as TOML.
std::string ToToml(const ConfigValue& value);
}  // namespace tl
