// SPDX-License-Identifier: Apache-2.0
#include "objective/descriptor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status.h"

namespace tl {
namespace {

bool HasKey(const ObjectiveDescriptor& objective, const std::string& name) {
  return std::any_of(objective.keys.begin(), objective.keys.end(),
                     [&](const ConfigKey& key) { return key.name == name; });
}

// An error where a key has a value that another objective gives it.
absl::Status RefuseForeignKeys(const Config& config, const ObjectiveDescriptor& mine) {
  for (const ObjectiveDescriptor& other : Objectives()) {
    for (const ConfigKey& key : other.keys) {
      if (HasKey(mine, key.name) || key.get(config) == key.get(Config())) continue;
      std::vector<const char*> owners;
      for (const ObjectiveDescriptor& owner : Objectives())
        if (HasKey(owner, key.name)) owners.push_back(owner.name);
      return absl::InvalidArgumentError(absl::StrCat("[objective] ", key.name, " is a key of ",
                                                     absl::StrJoin(owners, " and "),
                                                     ", not of name = \"", mine.name, "\""));
    }
  }
  return absl::OkStatus();
}

// Samples are tokens or values, to model and objective alike.
absl::Status CheckSamples(const Config& c, const ObjectiveDescriptor& mine) {
  if (c.model.of_values() == mine.of_values) return absl::OkStatus();
  std::vector<const char*> others;
  for (const ObjectiveDescriptor& other : Objectives())
    if (other.of_values == c.model.of_values()) others.push_back(other.name);
  const std::string fit = others.empty() ? "this build has none" : absl::StrJoin(others, ", ");
  return absl::InvalidArgumentError(absl::StrCat(
      "[objective] name = \"", mine.name, "\" learns from ",
      mine.of_values ? "samples of values, but [model] has no shape; objectives of tokens: "
                     : "tokens, but [model] shape is given; objectives of values: ",
      fit));
}

}  // namespace

const ObjectiveDescriptor* FindObjective(const std::string& name) {
  for (const ObjectiveDescriptor& objective : Objectives())
    if (name == objective.name) return &objective;
  return nullptr;
}

const ObjectiveDescriptor& DescriptorOf(const ObjectiveConfig& config) {
  const ObjectiveDescriptor* objective = FindObjective(config.name);
  TL_CHECK(objective != nullptr) << config.name;
  return *objective;
}

absl::Status ValidateObjective(const Config& c) {
  const ObjectiveConfig& o = c.objective;
  const ObjectiveDescriptor* objective = FindObjective(o.name);
  if (objective == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("[objective] name = \"", o.name, "\": expected one of ", ObjectiveNames()));
  }
  TL_RETURN_IF_ERROR(CheckSamples(c, *objective));
  TL_RETURN_IF_ERROR(RefuseForeignKeys(c, *objective));
  TL_RETURN_IF_ERROR(objective->validate(c));
  if (HeadCount(o) > c.train.sequence_length) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[objective] name = \"", o.name, "\" predicts ", HeadCount(o),
        " tokens ahead: expected at most [train] sequence_length = ", c.train.sequence_length));
  }
  if (FreezesTrunk(o) && c.run.init_from.empty()) {
    return absl::InvalidArgumentError(
        "[objective] freeze_trunk = true trains heads on a trunk that stays as it is: give [run] "
        "init_from, the run folder of a trained one");
  }
  return absl::OkStatus();
}

absl::Status CheckHeadCount(const ObjectiveConfig& config, const char* key, int64_t value,
                            int64_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("[objective] ", key, " = ", value, ": \"",
                                                 config.name, "\" expects a number from 1 to ",
                                                 most));
}

int HeadCount(const ObjectiveConfig& config) {
  return static_cast<int>(DescriptorOf(config).heads(config));
}

int64_t TrunkLayers(const ObjectiveConfig& config, int64_t layers) {
  return DescriptorOf(config).trunk_layers(config, layers);
}

bool FreezesTrunk(const ObjectiveConfig& config) {
  return DescriptorOf(config).freezes_trunk(config);
}

bool Exports(const ObjectiveConfig& config, const std::string& format) {
  const auto& formats = DescriptorOf(config).formats;
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

std::string ObjectivesThatDraft(const std::string& drafter) {
  std::vector<const char*> names;
  for (const ObjectiveDescriptor& objective : Objectives())
    if (drafter == objective.drafter) names.push_back(objective.name);
  return absl::StrJoin(names, " or ");
}

}  // namespace tl
