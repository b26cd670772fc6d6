// SPDX-License-Identifier: Apache-2.0
// Reading the parts of a tokenizer.json, each an object with a "type".
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tl::internal {

using Json = nlohmann::json;

// Says "KEY: expected EXPECTED, found …".
absl::Status BadPart(absl::string_view key, absl::string_view expected, const Json& found);
// Says "KIND {…} is not supported": what tokenizers may do, and this does not.
absl::Status UnsupportedPart(absl::string_view kind, const Json& part);

// Returns null where the object has no such key, or is none.
const Json& Get(const Json& object, const char* key);
// Returns "" where there is none.
std::string TypeOf(const Json& part);
bool Flag(const Json& object, const char* key, bool otherwise);
// Reads the flag of this key; an error that names part and key where there is none.
absl::Status GetFlag(const Json& part, const char* key, bool* value);
// Reads the string of this key; an error that names part and key where there is none.
absl::Status GetString(const Json& part, const char* key, std::string* value);

// Reads a Metaspace's prepend_scheme, "always" where it has none: "first", "never" or "always";
// others are refused, and so is an add_prefix_space that says otherwise.
absl::StatusOr<std::string> PrependScheme(const Json& part);

// Ids are the places in a table, which a damaged one would make huge.
inline constexpr int64_t kMostIds = int64_t{1} << 21;
bool IsId(const Json& id);

}  // namespace tl::internal
