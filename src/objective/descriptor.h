// SPDX-License-Identifier: Apache-2.0
// What the rest of the program knows of an objective, beside how to run it (objective.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "config/config.h"
#include "config/objective_keys.h"
#include "objective/diffusion.h"
#include "objective/objective.h"

namespace tl {

struct ObjectiveDescriptor {
  const char* name;
  // Its keys of the [objective] section.
  std::vector<ConfigKey> keys = {};
  // Whether it learns from samples of values, of a [model] with a shape, instead of tokens.
  bool of_values = false;
  // Checks its keys, and what they need of the rest. Messages name the key.
  absl::Status (*validate)(const Config&) = [](const Config&) { return absl::OkStatus(); };
  // Heads, the main one included.
  int64_t (*heads)(const ObjectiveConfig&) = [](const ObjectiveConfig&) { return int64_t{1}; };
  // Blocks of a model of `layers` that stand in the trunk.
  int64_t (*trunk_layers)(const ObjectiveConfig&, int64_t layers) =
      [](const ObjectiveConfig&, int64_t layers) { return layers; };
  // Whether the heads alone are trained.
  bool (*freezes_trunk)(const ObjectiveConfig&) = [](const ObjectiveConfig&) { return false; };
  // Of one that takes noise out of values; null: of no other.
  Diffusion (*diffusion)(const ObjectiveConfig&) = nullptr;
  // The `--speculate` that its heads draft for; empty: none.
  const char* drafter = "";
  // The `--format`s that hold its heads.
  std::vector<const char*> formats = {};
  std::unique_ptr<Objective> (*make)(const ObjectiveConfig&, const ObjectiveContext&);
};

// The table, in the order in which objectives are named.
absl::Span<const ObjectiveDescriptor> Objectives();
// Null where there is none of this name.
const ObjectiveDescriptor* FindObjective(const std::string& name);
// That of a config that has passed Validate.
const ObjectiveDescriptor& DescriptorOf(const ObjectiveConfig& config);

// Checks the section against its objective: its name, keys of others, ranges, and what it needs of
// the rest. Messages name the key.
absl::Status ValidateObjective(const Config& config);
// A count of heads that is from 1 to most.
absl::Status CheckHeadCount(const ObjectiveConfig& config, const char* key, int64_t value,
                            int64_t most);

// Heads, the main one included.
int HeadCount(const ObjectiveConfig& config);
// Blocks of a model of this many that stand in the trunk.
int64_t TrunkLayers(const ObjectiveConfig& config, int64_t layers);
bool FreezesTrunk(const ObjectiveConfig& config);
// Whether the export format holds its heads.
bool Exports(const ObjectiveConfig& config, const std::string& format);
// "a or b": the objectives whose heads draft for this `--speculate`.
std::string ObjectivesThatDraft(const std::string& drafter);

// The fields of S, the struct of an objective's keys.
template <typename S>
S SettingsOf(const ObjectiveConfig& config) {
  return S::Keys().Read(config);
}

template <typename T>
std::unique_ptr<Objective> Make(const ObjectiveConfig& config, const ObjectiveContext& context) {
  return std::make_unique<T>(config, context);
}

}  // namespace tl
