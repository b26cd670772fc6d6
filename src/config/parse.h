// SPDX-License-Identifier: Apache-2.0
// Config files: TOML to Config and back, by a table of keys.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "config/config.h"
#include "config/table.h"

namespace tl {

// text is TOML. Each override is "section.key=value" with value as TOML; what is not TOML is taken
// as a string, and for a string key everything is that does not start with a quote. Overrides win,
// the last one first. Errors name file, line or override, key, what was expected and what was
// found, and for unknown names the nearest known. Relations between keys are left to Validate.
absl::StatusOr<Config> ParseConfig(const ConfigTable& table, const std::string& text,
                                   const std::string& file,
                                   absl::Span<const std::string> overrides = {});

// The same from a file; where [run] dir is not given, it is checkpoints/NAME for .../NAME.toml.
absl::StatusOr<Config> LoadConfig(const ConfigTable& table, const std::string& path,
                                  absl::Span<const std::string> overrides = {});

// Every key with its value, as TOML that parses back to an equal config.
std::string WriteResolved(const ConfigTable& table, const Config& config);

// config with the keys of a text, of another version maybe, that this one knows and can read.
Config WithReadable(const ConfigTable& table, Config config, const std::string& text);

// Whether WriteResolved wrote the text, of another version maybe: every line of a key that this one
// knows is as it would write it. What people write has comments, or is spaced otherwise.
bool IsResolved(const ConfigTable& table, const std::string& text);

}  // namespace tl
