// SPDX-License-Identifier: Apache-2.0
#include "config/changes.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "config/parse.h"

namespace tl {

std::vector<ConfigChange> ConfigChanges::Of(AtResume what) const {
  std::vector<ConfigChange> some;
  for (const ConfigChange& change : all) {
    const AtResume means = change.key->at_resume;
    const bool model = means == AtResume::kModelIfNotZero && what == AtResume::kModel &&
                       change.now != "0" && change.before != "0";
    if (means == what || model) some.push_back(change);
  }
  return some;
}

ConfigChanges FindChanges(const ConfigTable& table, const Config& now, const std::string& before) {
  ConfigChanges changes{.before = WithReadable(table, now, before), .all = {}};
  for (const ConfigKey& key : table.keys()) {
    if (key.used && !key.used(now) && !key.used(changes.before)) continue;
    const std::string is = ValueText(key, now), was = ValueText(key, changes.before);
    if (is != was) changes.all.push_back({&key, is, was});
  }
  std::sort(changes.all.begin(), changes.all.end(), [](const auto& a, const auto& b) {
    return std::tie(a.key->section, a.key->name) < std::tie(b.key->section, b.key->name);
  });
  return changes;
}

std::string Describe(const std::vector<ConfigChange>& changes) {
  std::string text;
  for (const ConfigChange& c : changes) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", "[", c.key->section, "] ", c.key->name, " = ",
                    c.now, ", was ", c.before);
  }
  return text;
}

}  // namespace tl
