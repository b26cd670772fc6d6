// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/manifest_data.h"

#include <algorithm>
#include <climits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"

namespace tl {
namespace {

using Json = nlohmann::json;

std::string Crc(uint32_t crc) { return absl::StrFormat("%08x", crc); }
std::string Hash(uint64_t hash) { return absl::StrFormat("%016x", hash); }

absl::Status Expected(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": expected ", what));
}

// *value: as it is where the object has no such key.
absl::Status Number(const Json& object, const char* key, const std::string& where, int64_t* value) {
  const auto it = object.find(key);
  if (it == object.end()) return absl::OkStatus();
  const bool whole = it->is_number_integer() &&
                     (!it->is_number_unsigned() || it->get<uint64_t>() <= uint64_t{INT64_MAX});
  if (!whole || it->get<int64_t>() < 0)
    return Expected(absl::StrCat(where, ".", key), "a whole number from 0");
  *value = it->get<int64_t>();
  return absl::OkStatus();
}

absl::Status Text(const Json& object, const char* key, const std::string& where,
                  std::string* value) {
  const auto it = object.find(key);
  if (it == object.end()) return absl::OkStatus();
  if (!it->is_string()) return Expected(absl::StrCat(where, ".", key), "a string");
  *value = it->get<std::string>();
  return absl::OkStatus();
}

absl::Status Hex(const Json& object, const char* key, const std::string& where, size_t digits,
                 uint64_t* value) {
  const auto it = object.find(key);
  if (it == object.end()) return absl::OkStatus();
  std::string text;
  TL_RETURN_IF_ERROR(Text(object, key, where, &text));
  // The function takes signs, spaces and 0x too.
  const bool plain =
      text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (plain && absl::SimpleHexAtoi(text, value)) return absl::OkStatus();
  return Expected(absl::StrCat(where, where.empty() ? "" : ".", key),
                  absl::StrCat(digits, " hexadecimal digits"));
}

absl::StatusOr<FileIdentity> ParseIdentity(const Json& object, const std::string& where) {
  if (!object.is_object()) return Expected(where, "an object");
  FileIdentity file;
  TL_RETURN_IF_ERROR(Text(object, "key", where, &file.key));
  TL_RETURN_IF_ERROR(Text(object, "path", where, &file.path));
  TL_RETURN_IF_ERROR(Number(object, "bytes", where, &file.bytes));
  TL_RETURN_IF_ERROR(Number(object, "tokens", where, &file.tokens));
  TL_RETURN_IF_ERROR(Hex(object, "tokenizer", where, 16, &file.tokenizer_hash));
  uint64_t header = 0, crc = 0;
  TL_RETURN_IF_ERROR(Hex(object, "header_crc32c", where, 8, &header));
  TL_RETURN_IF_ERROR(Hex(object, "crc32c", where, 8, &crc));
  file.header_crc = static_cast<uint32_t>(header);
  file.crc = static_cast<uint32_t>(crc);
  if (const auto sampled = object.find("sampled"); sampled != object.end()) {
    if (!sampled->is_boolean()) return Expected(where + ".sampled", "true or false");
    file.sampled = sampled->get<bool>();
  }
  int64_t samples = file.samples;
  TL_RETURN_IF_ERROR(Number(object, "samples", where, &samples));
  file.samples = static_cast<int>(std::min<int64_t>(samples, INT_MAX));
  return file;
}

}  // namespace

nlohmann::ordered_json DataJson(const std::vector<FileIdentity>& files) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const FileIdentity& file : files) {
    nlohmann::ordered_json object = {
        {"key", file.key},         {"path", file.path},
        {"bytes", file.bytes},     {"header_crc32c", Crc(file.header_crc)},
        {"crc32c", Crc(file.crc)}, {"sampled", file.sampled}};
    if (file.sampled) object["samples"] = file.samples;
    if (file.tokens > 0) object["tokens"] = file.tokens;
    if (file.tokenizer_hash != 0) object["tokenizer"] = Hash(file.tokenizer_hash);
    list.push_back(std::move(object));
  }
  return list;
}

absl::StatusOr<std::vector<FileIdentity>> ParseFiles(const Json& object) {
  std::vector<FileIdentity> files;
  const auto list = object.find("data");
  if (list == object.end()) return files;
  if (!list->is_array()) return Expected("data", "a list");
  for (size_t i = 0; i < list->size(); ++i) {
    TL_ASSIGN_OR_RETURN(FileIdentity file,
                        ParseIdentity((*list)[i], absl::StrCat("data[", i, "]")));
    files.push_back(std::move(file));
  }
  return files;
}

void WriteData(const Manifest& manifest, nlohmann::ordered_json* root) {
  (*root)["data"] = DataJson(manifest.data);
  if (manifest.tokenizer_hash != 0) (*root)["tokenizer"] = Hash(manifest.tokenizer_hash);
}

absl::Status ParseData(const Json& root, Manifest* manifest) {
  TL_RETURN_IF_ERROR(Hex(root, "tokenizer", "", 16, &manifest->tokenizer_hash));
  TL_ASSIGN_OR_RETURN(manifest->data, ParseFiles(root));
  return absl::OkStatus();
}

}  // namespace tl
