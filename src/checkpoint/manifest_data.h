// SPDX-License-Identifier: Apache-2.0
// The part of a manifest that tells what a training read: "data" and "tokenizer".
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "checkpoint/manifest.h"

namespace tl {

// Adds both to the manifest's object; "tokenizer" where it is known.
void WriteData(const Manifest& manifest, nlohmann::ordered_json* root);
// Manifests of earlier versions have neither.
absl::Status ParseData(const nlohmann::json& root, Manifest* manifest);

}  // namespace tl
