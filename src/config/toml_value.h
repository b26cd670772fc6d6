// SPDX-License-Identifier: Apache-2.0
// TOML read as values of config keys.
#pragma once

#include <toml++/toml.h>

#include <string>

#include "absl/status/statusor.h"
#include "config/key.h"

namespace tl {

// Where TOML was read: a file, with line numbers, or an override.
struct TomlOrigin {
  std::string name;
  bool has_lines = true;
};

// "my.toml:3".
std::string At(const TomlOrigin& origin, const toml::node& node);
// "the integer 3".
std::string Found(const toml::node& node);

absl::StatusOr<toml::table> ParseToml(const std::string& text, const TomlOrigin& origin);

// An error says where, which key, what was expected and what was found.
absl::StatusOr<ConfigValue> ReadValue(const ConfigKey& key, const toml::node& node,
                                      const TomlOrigin& origin);

}  // namespace tl
