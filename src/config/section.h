// Builds the rows of a section from the fields of its struct.
#pragma once

#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/config.h"
#include "config/key.h"

namespace tl {

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

template <typename T>
constexpr ValueType TypeOf() {
  if constexpr (std::is_enum_v<T>) return ValueType::kChoice;
  if constexpr (std::is_same_v<T, bool>) return ValueType::kBool;
  if constexpr (std::is_same_v<T, int> || std::is_same_v<T, int64_t>) return ValueType::kInteger;
  if constexpr (std::is_same_v<T, double>) return ValueType::kNumber;
  if constexpr (std::is_same_v<T, Duration>) return ValueType::kDuration;
  if constexpr (std::is_same_v<T, std::vector<double>>) return ValueType::kNumbers;
  if constexpr (std::is_same_v<T, std::vector<WeightedPath>>) return ValueType::kPaths;
  return ValueType::kText;
}

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
