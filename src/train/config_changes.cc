#include "train/config_changes.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/config.h"

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
  // What says whether a tokenizer is accepted changes no text.
  if (change.section == "data") return change.key != "eval" && change.key != "any_tokenizer";
  return change.section == "train" && (change.key == "sequence_length" || change.key == "seed");
}

bool ChangesTheSchedule(const ConfigChange& change) {
  if (change.section == "train") return change.key == "steps";
  return change.section == "optimizer" &&
         (change.key == "schedule" || change.key == "lr" || change.key == "min_lr" ||
          change.key == "warmup_steps" || change.key == "decay_fraction");
}

Schedule ScheduleBefore(Schedule now, const std::vector<ConfigChange>& changes) {
  for (const ConfigChange& change : changes) {
    if (!ChangesTheSchedule(change)) continue;
    const auto number = [&](double* value) { return absl::SimpleAtod(change.before, value); };
    const auto count = [&](int64_t* value) { return absl::SimpleAtoi(change.before, value); };
    // What cannot be read stays as it is now.
    double real = 0.0;
    int64_t steps = 0;
    if (change.key == "steps" && count(&steps)) now.steps = steps;
    if (change.key == "warmup_steps" && count(&steps)) now.warmup_steps = steps;
    if (change.key == "lr" && number(&real)) now.lr = real;
    if (change.key == "min_lr" && number(&real)) now.min_lr = real;
    if (change.key == "decay_fraction" && number(&real)) now.decay_fraction = real;
    for (const ScheduleKind kind : {ScheduleKind::kConstant, ScheduleKind::kCosine,
                                    ScheduleKind::kLinear, ScheduleKind::kWsd}) {
      if (change.key == "schedule" && change.before == absl::StrCat("\"", Name(kind), "\""))
        now.kind = kind;
    }
  }
  return now;
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
