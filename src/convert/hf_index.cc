// SPDX-License-Identifier: Apache-2.0
#include "convert/hf_index.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"

namespace tl {
namespace {

absl::Status BadIndex(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

// A name that can only mean a file beside the index.
bool IsPlainFileName(const std::string& name) {
  return absl::EndsWith(name, ".safetensors") && name[0] != '.' &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::set<std::string>>> ParseShardIndex(
    const std::string& text, const std::string& path) {
  TL_ASSIGN_OR_RETURN(const nlohmann::json root, ParseJson(text, path));
  if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object())
    return BadIndex(path, "expected an object with a weight_map");
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [tensor, file] : root["weight_map"].items()) {
    if (!file.is_string() || !IsPlainFileName(file.get<std::string>())) {
      return BadIndex(path, absl::StrCat("tensor \"", tensor,
                                         "\": expected the name of a .safetensors file in this "
                                         "folder, found ",
                                         Shortened(file.dump(), 200)));
    }
    shards[file.get<std::string>()].insert(tensor);
  }
  if (shards.empty()) return BadIndex(path, "the weight_map is empty");
  return shards;
}

}  // namespace tl
