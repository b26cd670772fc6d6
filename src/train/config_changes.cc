#include "train/config_changes.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tl {
namespace {

constexpr char kRopeScaling[] = "model.rope_scaling";

using Values = std::map<std::pair<std::string, std::string>, std::string>;

Values Parse(const std::string& text) {
  Values values;
  std::string section;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "[")) {
      section = std::string(line.substr(1, line.find(']') - 1));
      continue;
    }
    const size_t equals = line.find(" = ");
    if (equals == absl::string_view::npos) continue;
    values[{section, std::string(line.substr(0, equals))}] = std::string(line.substr(equals + 3));
  }
  return values;
}

}  // namespace

std::vector<ConfigChange> ConfigChanges(const std::string& now, const std::string& before) {
  std::vector<ConfigChange> changes;
  const Values new_values = Parse(now), old_values = Parse(before);
  const auto unscaled = [](const Values& values) {
    const auto factor = values.find({kRopeScaling, "factor"});
    return factor != values.end() && factor->second == "1.0";
  };
  const bool no_scaling = unscaled(new_values) && unscaled(old_values);
  for (const auto& [name, value] : new_values) {
    if (no_scaling && name.first == kRopeScaling) continue;
    const auto it = old_values.find(name);
    if (it != old_values.end() && it->second != value)
      changes.push_back({name.first, name.second, value, it->second});
  }
  return changes;
}

bool ChangesTheModel(const ConfigChange& change) {
  if (change.section != "model" && !absl::StartsWith(change.section, "model.")) return false;
  if (change.key == "init_std") return false;
  // 0 stands for a value that the shapes of the weights tell.
  const bool derived = change.key == "kv_heads" || change.key == "head_dim";
  return !derived || (change.now != "0" && change.before != "0");
}

bool ChangesTheData(const ConfigChange& change) {
  if (change.section == "data") return change.key != "eval";
  return change.section == "train" && (change.key == "sequence_length" || change.key == "seed");
}

std::string Describe(const std::vector<ConfigChange>& changes) {
  std::string text;
  for (const ConfigChange& c : changes) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", "[", c.section, "] ", c.key, " = ", c.now,
                    ", was ", c.before);
  }
  return text;
}

}  // namespace tl
