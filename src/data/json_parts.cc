// SPDX-License-Identifier: Apache-2.0
#include "data/json_parts.h"

#include "absl/strings/str_cat.h"
#include "base/utf8.h"

namespace tl::internal {
namespace {

// Whatever is in it: a string that is no UTF-8 is shown with what can be.
std::string Shown(const Json& part) {
  return Shortened(part.dump(-1, ' ', false, Json::error_handler_t::replace), 300);
}

}  // namespace

absl::Status BadPart(absl::string_view key, absl::string_view expected, const Json& found) {
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": expected ", expected, ", found ", Shown(found)));
}

absl::Status UnsupportedPart(absl::string_view kind, const Json& part) {
  return absl::UnimplementedError(absl::StrCat(kind, " ", Shown(part), " is not supported"));
}

const Json& Get(const Json& object, const char* key) {
  static const Json null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

std::string TypeOf(const Json& part) {
  const Json& type = Get(part, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

bool Flag(const Json& object, const char* key, bool otherwise) {
  const Json& value = Get(object, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

absl::Status GetString(const Json& part, const char* key, std::string* value) {
  const Json& found = Get(part, key);
  if (!found.is_string()) {
    return BadPart(absl::StrCat(TypeOf(part), ".", key), "a string", found);
  }
  *value = found.get<std::string>();
  return absl::OkStatus();
}

absl::Status GetFlag(const Json& part, const char* key, bool* value) {
  const Json& found = Get(part, key);
  if (!found.is_boolean())
    return BadPart(absl::StrCat(TypeOf(part), ".", key), "true or false", found);
  *value = found.get<bool>();
  return absl::OkStatus();
}

absl::StatusOr<std::string> PrependScheme(const Json& part) {
  const Json scheme = part.contains("prepend_scheme") ? part["prepend_scheme"] : Json("always");
  if (scheme != "first" && scheme != "never" && scheme != "always") {
    return BadPart("Metaspace.prepend_scheme", "\"first\", \"never\" or \"always\"", scheme);
  }
  if (Get(part, "add_prefix_space") == false && scheme != "never") {
    return BadPart("Metaspace", "prepend_scheme \"never\" beside add_prefix_space false", part);
  }
  return scheme.get<std::string>();
}

bool IsId(const Json& id) {
  return id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(kMostIds);
}

}  // namespace tl::internal
