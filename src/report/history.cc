// SPDX-License-Identifier: Apache-2.0
#include "report/history.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/status.h"
#include "checkpoint/manifest_data.h"
#include "train/events.h"

namespace tl {
namespace {

using nlohmann::json;

constexpr int64_t kMostHistoryBytes = int64_t{256} << 20;

int64_t WholeOf(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number_integer() ? it->get<int64_t>() : 0;
}

std::string TextOf(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

std::optional<RunEvent::Kind> KindOf(const std::string& name) {
  using Kind = RunEvent::Kind;
  if (name == "start") return Kind::kStart;
  if (name == "save") return Kind::kSave;
  if (name == "stop") return Kind::kStop;
  if (name == "error") return Kind::kError;
  if (name == "end") return Kind::kEnd;
  return std::nullopt;
}

void Take(const json& object, History& history) {
  const std::optional<RunEvent::Kind> kind = KindOf(TextOf(object, "event"));
  if (!kind) return;
  RunEvent event{.kind = *kind,
                 .step = WholeOf(object, "step"),
                 .time = WholeOf(object, "time"),
                 .text = TextOf(object, "why")};
  if (*kind == RunEvent::Kind::kStart) {
    std::erase_if(history.events, [&](const RunEvent& before) {
      return before.kind == RunEvent::Kind::kSave && before.step > event.step;
    });
    history.facts.clear();
    for (const auto& [key, value] : object.items()) {
      if (value.is_string()) history.facts[key] = value.get<std::string>();
      if (value.is_number()) history.facts[key] = value.dump();
    }
    // A list that cannot be read costs a report no more than the list.
    history.data = ParseFiles(object).value_or(std::vector<FileIdentity>());
  }
  history.events.push_back(std::move(event));
}

}  // namespace

absl::StatusOr<History> ReadHistory(const std::string& path) {
  History history;
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return history;
  TL_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMostHistoryBytes));
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const absl::StatusOr<json> object = ParseJson(std::string(line), path);
    if (object.ok() && object->is_object()) Take(*object, history);
  }
  return history;
}

}  // namespace tl
