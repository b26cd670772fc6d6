// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "objective/denoise.h"
#include "objective/descriptor.h"
#include "objective/independent_heads.h"
#include "objective/keys.h"
#include "objective/medusa.h"
#include "objective/next_token.h"
#include "objective/sequential_mtp.h"

namespace tl {
namespace {

const std::vector<ObjectiveDescriptor>& Table() {
  // clang-format off: a line each
  static const auto* const table = new std::vector<ObjectiveDescriptor>{
      NextToken::Descriptor(),
      IndependentHeads::Descriptor(),
      SequentialMtp::Descriptor(),
      Medusa::Descriptor(),
      Denoise::Descriptor(),
  };
  // clang-format on
  return *table;
}

// Adds to a key's text what another objective says of it, both as "WHO: what".
void MergeDoc(const ConfigKey& other, ConfigKey* key) {
  const size_t who = key->doc.find(": "), other_who = other.doc.find(": ");
  TL_CHECK(who != std::string::npos && other_who != std::string::npos)
      << "several objectives have " << key->name << ": each must say \"WHO: what\" of it";
  if (key->doc.substr(who) == other.doc.substr(other_who)) {
    key->doc.insert(who, ", " + other.doc.substr(0, other_who));
  } else {
    absl::StrAppend(&key->doc, "; ", other.doc);
  }
}

ConfigSection ObjectiveSection() {
  ConfigSection section{.name = "objective", .doc = "what is trained on top of the trunk"};
  std::vector<std::string> names;
  for (const ObjectiveDescriptor& objective : Objectives()) names.emplace_back(objective.name);
  section.keys.push_back(
      {.section = section.name,
       .name = "name",
       .type = ValueType::kChoice,
       .doc = "what is predicted",
       .get = [](const Config& c) { return c.objective.name; },
       .set = [](Config& c,
                 const ConfigValue& value) { c.objective.name = std::get<std::string>(value); },
       .choices = names,
       .at_resume = AtResume::kLoss});
  for (const ObjectiveDescriptor& objective : Objectives()) {
    for (const ConfigKey& key : objective.keys) {
      ConfigKey* same = nullptr;
      for (ConfigKey& known : section.keys)
        if (known.name == key.name) same = &known;
      if (same == nullptr) {
        section.keys.push_back(key);
        continue;
      }
      TL_CHECK(same->type_text() == key.type_text() && same->get(Config()) == key.get(Config()))
          << key.name << " of " << objective.name << " is another key elsewhere";
      MergeDoc(key, same);
    }
  }
  return section;
}

// Makes the objective, and sees that it is what its descriptor says of it.
std::unique_ptr<Objective> MakeAsDescribed(const ObjectiveDescriptor& descriptor,
                                           const ObjectiveConfig& config,
                                           const ObjectiveContext& context) {
  auto objective = descriptor.make(config, context);
  TL_CHECK_EQ(objective->head_count(), descriptor.heads(config)) << descriptor.name;
  TL_CHECK_EQ(objective->row_values() > 0, descriptor.of_values) << descriptor.name;
  TL_CHECK_EQ(objective->freezes_trunk(), descriptor.freezes_trunk(config)) << descriptor.name;
  return objective;
}

}  // namespace

absl::Span<const ObjectiveDescriptor> Objectives() { return Table(); }

const ConfigTable& AllKeys() {
  static const auto* const table = new ConfigTable(ObjectiveSection());
  return *table;
}

absl::StatusOr<std::unique_ptr<Objective>> MakeObjective(const ObjectiveConfig& config,
                                                         const ObjectiveContext& context) {
  if (const ObjectiveDescriptor* objective = FindObjective(config.name); objective != nullptr)
    return MakeAsDescribed(*objective, config, context);
  return absl::InvalidArgumentError("[objective] name = \"" + config.name + "\": expected one of " +
                                    ObjectiveNames());
}

std::string ObjectiveNames() {
  return absl::StrJoin(Objectives(), ", ",
                       [](std::string* out, const ObjectiveDescriptor& o) { *out += o.name; });
}

std::vector<std::string> OffsetNames(int n) {
  std::vector<std::string> names = {"next_token"};
  for (int offset = 2; offset <= n; ++offset) names.push_back("token_" + std::to_string(offset));
  return names;
}

}  // namespace tl
