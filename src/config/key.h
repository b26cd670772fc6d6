// SPDX-License-Identifier: Apache-2.0
// A config key: what the parser, the writer, `trunkline help config`, suggestions and the
// comparison at resume know of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/value.h"

namespace tl {

struct Config;

enum class ValueType : uint8_t {
  kBool,
  kInteger,
  kNumber,
  kText,
  kPath,    // as UserPath reads it
  kChoice,  // one of the key's choices
  kDuration,
  kIntegers,
  kNumbers,
  kPaths,
};

// The values that a number may take.
struct Range {
  enum Ends { kClosed, kAboveLow, kBelowHigh, kOpen };
  double low;
  double high;
  Ends ends = kClosed;

  bool Contains(double x) const;
  std::string ToString() const;  // "at least 1", "above 0", "0 <= x < 1"
};

extern const Range kAnyNumber;   // finite
extern const Range kCount;       // 1 or more
extern const Range kZeroOrMore;  //
extern const Range kPositive;    // above 0
extern const Range kFromZeroToBelowOne;

// What another value means for a training that goes on from a checkpoint.
enum class AtResume : uint8_t {
  kFree,
  kModel,           // another model of the same weights, or of some of them
  kModelIfNotZero,  // the same, but for 0, which stands for a value that the weights' shapes tell
  kData,            // other text from there on than it would have seen
  kSchedule,        // other learning rates from there on
  kLoss,            // another loss from there on
};

// A row of the table. The calls below complete it where it is written.
struct ConfigKey {
  std::string section;  // "model", "model.rope_scaling"
  std::string name;
  ValueType type;
  std::string doc;
  std::function<ConfigValue(const Config&)> get = {};
  std::function<void(Config&, const ConfigValue&)> set = {};  // a value of the type, in its range
  Range range = kAnyNumber;                                   // of numbers
  std::vector<std::string> choices = {};
  bool required = false;  // where it is used
  AtResume at_resume = AtResume::kFree;
  std::function<bool(const Config&)> used = {};  // whether the rest of the config asks for it
  std::vector<const char*> aliases = {};         // what other trainers call it

  ConfigKey& In(Range r) { return range = r, *this; }
  ConfigKey& Required() { return required = true, *this; }
  ConfigKey& Path() { return type = ValueType::kPath, *this; }
  ConfigKey& OneOf(std::vector<std::string> names) {
    return type = ValueType::kChoice, choices = std::move(names), *this;
  }
  ConfigKey& Changes(AtResume what) { return at_resume = what, *this; }
  ConfigKey& Where(std::function<bool(const Config&)> is_used) {
    return used = std::move(is_used), *this;
  }
  ConfigKey& Known(std::vector<const char*> as) { return aliases = std::move(as), *this; }

  std::string full_name() const { return section + "." + name; }
  bool is_text() const;           // a string, a duration, a choice or paths
  std::string type_text() const;  // "integer, at least 1", "true or false", "one of "a", "b""
};

template <typename T>
constexpr ValueType TypeOf() {
  if constexpr (std::is_enum_v<T>) return ValueType::kChoice;
  if constexpr (std::is_same_v<T, bool>) return ValueType::kBool;
  if constexpr (std::is_same_v<T, int> || std::is_same_v<T, int64_t>) return ValueType::kInteger;
  if constexpr (std::is_same_v<T, double>) return ValueType::kNumber;
  if constexpr (std::is_same_v<T, Duration>) return ValueType::kDuration;
  if constexpr (std::is_same_v<T, std::vector<int64_t>>) return ValueType::kIntegers;
  if constexpr (std::is_same_v<T, std::vector<double>>) return ValueType::kNumbers;
  if constexpr (std::is_same_v<T, std::vector<WeightedPath>>) return ValueType::kPaths;
  return ValueType::kText;
}

struct ConfigSection {
  std::string name;
  std::string doc;
  std::vector<ConfigKey> keys = {};
};

// The value as TOML.
inline std::string ValueText(const ConfigKey& key, const Config& config) {
  return ToToml(key.get(config));
}

}  // namespace tl
