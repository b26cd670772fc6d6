// SPDX-License-Identifier: Apache-2.0
// JSON from files that others wrote: read whole, checked harder than the parser does by itself.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace tl {

// Parses text. Refuses what is not JSON, a key that occurs twice in one object (parsers disagree on
// which one counts) and nesting beyond 64. Messages start with `what`, e.g. "model/config.json".
absl::StatusOr<nlohmann::json> ParseJson(const std::string& text, const std::string& what);

// Parses JSON as Python writes it: NaN, Infinity and -Infinity are taken too. They become strings,
// which DumpPythonJson writes as they were.
absl::StatusOr<nlohmann::json> ParsePythonJson(const std::string& text, const std::string& what);
// Does the same with the keys in their order.
absl::StatusOr<nlohmann::ordered_json> ParseOrderedPythonJson(const std::string& text,
                                                              const std::string& what);
// Indents by two spaces, and ends with a line end.
std::string DumpPythonJson(const nlohmann::ordered_json& json);

// Reads a whole file of at most this many bytes.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t most_bytes);

}  // namespace tl
