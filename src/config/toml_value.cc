// SPDX-License-Identifier: Apache-2.0
#include "config/toml_value.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/user_path.h"
#include "base/utf8.h"

namespace tl {
namespace {

// Reads one node as a value of a key.
class ConfigValueReader {
 public:
  ConfigValueReader(const ConfigKey& key, const toml::node& node, const TomlOrigin& origin)
      : key_(key), node_(node), origin_(origin) {}

  absl::StatusOr<ConfigValue> Read() const {
    switch (key_.type) {
      case ValueType::kBool:
        if (const auto* v = node_.as_boolean()) return ConfigValue(v->get());
        break;
      case ValueType::kInteger:
        if (const auto* v = node_.as_integer();
            v != nullptr && key_.range.Contains(static_cast<double>(v->get())))
          return ConfigValue(v->get());
        break;
      case ValueType::kNumber:
        if (const auto v = Number(node_); v.has_value() && key_.range.Contains(*v))
          return ConfigValue(*v);
        break;
      case ValueType::kText:
        if (const auto* v = node_.as_string()) return ConfigValue(v->get());
        break;
      case ValueType::kPath:
        if (const auto* v = node_.as_string()) return Path(v->get());
        break;
      case ValueType::kChoice:
        if (const auto* v = node_.as_string();
            v != nullptr && std::count(key_.choices.begin(), key_.choices.end(), v->get()) > 0)
          return ConfigValue(v->get());
        break;
      case ValueType::kDuration:
        return ReadDuration();
      case ValueType::kIntegers:
        return ReadIntegers();
      case ValueType::kNumbers:
        return ReadNumbers();
      case ValueType::kPaths:
        return ReadPaths();
    }
    return Expected(key_.type_text(), Found(node_));
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(At(origin_, node_), ": [", key_.section, "] ", key_.name, ": ", what));
  }
  absl::Status Expected(const std::string& expected, const std::string& found) const {
    return Error(absl::StrCat("expected ", expected, "; found ", found));
  }

  static std::optional<double> Number(const toml::node& node) {
    return node.is_number() ? node.value<double>() : std::nullopt;
  }

  absl::StatusOr<std::string> Path(const std::string& text) const {
    absl::StatusOr<std::string> path = UserPath(text);
    if (!path.ok()) return Error(path.status().message());
    // $HOME may be anything.
    if (const absl::Status status = CheckUtf8Path(*path); !status.ok())
      return Error(status.message());
    return path;
  }

  absl::StatusOr<ConfigValue> ReadDuration() const {
    if (const auto* v = node_.as_string()) {
      if (const auto duration = ParseDuration(v->get()); duration.ok()) return *duration;
    } else if (const auto seconds = Number(node_);
               seconds.has_value() && *seconds >= 0 && std::isfinite(*seconds)) {
      return Duration{*seconds};
    }
    return Expected(key_.type_text(), Found(node_));
  }

  absl::StatusOr<ConfigValue> ReadIntegers() const {
    const auto* array = node_.as_array();
    if (array == nullptr) return Expected(key_.type_text(), Found(node_));
    std::vector<int64_t> integers;
    for (const toml::node& element : *array) {
      const auto* v = element.as_integer();
      if (v == nullptr || !key_.range.Contains(static_cast<double>(v->get())))
        return Expected(key_.type_text(), Found(element));
      integers.push_back(v->get());
    }
    return integers;
  }

  absl::StatusOr<ConfigValue> ReadNumbers() const {
    const auto* array = node_.as_array();
    if (array == nullptr) return Expected(key_.type_text(), Found(node_));
    std::vector<double> numbers;
    for (const toml::node& element : *array) {
      const auto v = Number(element);
      if (!v.has_value() || !key_.range.Contains(*v))
        return Expected(key_.type_text(), Found(element));
      numbers.push_back(*v);
    }
    return numbers;
  }

  absl::StatusOr<ConfigValue> ReadPaths() const {
    std::vector<WeightedPath> paths;
    if (const auto* array = node_.as_array()) {
      for (const toml::node& element : *array) TL_RETURN_IF_ERROR(AddPath(element, paths));
    } else {
      TL_RETURN_IF_ERROR(AddPath(node_, paths));
    }
    return paths;
  }

  absl::Status AddPath(const toml::node& node, std::vector<WeightedPath>& paths) const {
    constexpr char kExpected[] =
        "a path, a list of paths, or a list of { path = \"a.tok\", weight = 0.7 }, of pictures "
        "also "
        "{ path = \"a.npy\", labels = \"b.npy\" }";
    WeightedPath out;
    if (const auto* path = node.as_string()) {
      out.path = path->get();
    } else if (const auto* table = node.as_table()) {
      for (const auto& [name, value] : *table) {
        if (name == "path" && value.is_string()) {
          out.path = value.as_string()->get();
        } else if (name == "labels" && value.is_string()) {
          if (value.as_string()->get().empty()) return Expected("a path of labels", Found(value));
          TL_ASSIGN_OR_RETURN(out.labels, Path(value.as_string()->get()));
        } else if (name == "weight" && value.is_number()) {
          out.weight = *value.value<double>();
          if (!(out.weight > 0.0) || !std::isfinite(out.weight)) {
            return Expected("a weight above 0", Found(value));
          }
        } else {
          return Expected(kExpected, absl::StrCat("a table with ", std::string(name.str()), " = ",
                                                  Found(value)));
        }
      }
    } else {
      return Expected(kExpected, Found(node));
    }
    if (out.path.empty()) return Expected(kExpected, "an empty path");
    TL_ASSIGN_OR_RETURN(out.path, Path(out.path));
    paths.push_back(std::move(out));
    return absl::OkStatus();
  }

  const ConfigKey& key_;
  const toml::node& node_;
  const TomlOrigin& origin_;
};

}  // namespace

std::string At(const TomlOrigin& origin, const toml::node& node) {
  if (!origin.has_lines) return origin.name;
  return absl::StrCat(origin.name, ":", static_cast<int>(node.source().begin.line));
}

std::string Found(const toml::node& node) {
  if (const auto* v = node.as_string())
    return absl::StrCat("the string \"", OneLine(v->get()), "\"");
  if (const auto* v = node.as_integer()) return absl::StrCat("the integer ", v->get());
  if (const auto* v = node.as_boolean()) return v->get() ? "true" : "false";
  if (const auto* v = node.as_floating_point()) {
    std::ostringstream text;
    text << toml::value<double>(v->get());
    return "the number " + text.str();
  }
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

absl::StatusOr<toml::table> ParseToml(const std::string& text, const TomlOrigin& origin) {
  try {
    return toml::parse(text, origin.name);
  } catch (const toml::parse_error& error) {
    std::string where = origin.name;
    if (origin.has_lines) {
      absl::StrAppend(&where, ":", static_cast<int>(error.source().begin.line), ":",
                      static_cast<int>(error.source().begin.column));
    }
    const std::string_view what = error.description();
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": not TOML: ", absl::string_view(what.data(), what.size())));
  }
}

absl::StatusOr<ConfigValue> ReadValue(const ConfigKey& key, const toml::node& node,
                                      const TomlOrigin& origin) {
  return ConfigValueReader(key, node, origin).Read();
}

}  // namespace tl
