// Config files: TOML to Config and back. The keys are those of the table in config_table.h.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/config.h"

namespace tl {

// text is TOML. Each override is "section.key=value" with value as TOML; what is not TOML is taken
// as a string, and for a string key everything is that does not start with a quote. Overrides win,
// the last one first. Errors name file, line or override, key, what was expected and what was
// found, and for unknown names the nearest known. Relations between keys are left to Validate.
absl::StatusOr<Config> ParseConfig(const std::string& text, const std::string& file,
                                   absl::Span<const std::string> overrides = {});

// The same from a file; where [run] dir is not given, it is checkpoints/NAME for .../NAME.toml.
absl::StatusOr<Config> LoadConfig(const std::string& path,
                                  absl::Span<const std::string> overrides = {});

// Every key with its value, as TOML that parses back to an equal config.
std::string WriteResolved(const Config& config);

// The run folder's resolved config (DIR/config.toml). Where DIR is one checkpoint, or a folder of
// them without a config.toml, it is that of the checkpoint, whose weights are then the run's. An
// error says so where DIR is none of these.
absl::StatusOr<Config> LoadRunConfig(const std::string& dir,
                                     absl::Span<const std::string> overrides = {});

}  // namespace tl
