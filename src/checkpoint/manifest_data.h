// SPDX-License-Identifier: Apache-2.0
// The part of a manifest that tells what a training read, "data" and "tokenizer", and of the lines of
// events.jsonl, "data".
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/manifest.h"
#include "data/file_identity.h"

namespace tl {

// The list under "data".
nlohmann::ordered_json DataJson(const std::vector<FileIdentity>& files);
// What object["data"] lists; nothing where it has no such key.
absl::StatusOr<std::vector<FileIdentity>> ParseFiles(const nlohmann::json& object);

// Adds both to the manifest's object; "tokenizer" where it is known.
void WriteData(const Manifest& manifest, nlohmann::ordered_json* root);
// Manifests of earlier versions have neither.
absl::Status ParseData(const nlohmann::json& root, Manifest* manifest);

}  // namespace tl
