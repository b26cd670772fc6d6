// SPDX-License-Identifier: Apache-2.0
#include "train/events.h"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "checkpoint/manifest_data.h"

namespace tl {
namespace {

using nlohmann::ordered_json;

int64_t Now() { return static_cast<int64_t>(std::time(nullptr)); }

std::string EventLine(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string ToJson(const StartEvent& event, int64_t time) {
  ordered_json json = {{"event", "start"}, {"step", event.step}, {"time", time}};
  for (const auto& [key, value] : event.provenance) json[key] = value;
  json["ranks"] = event.ranks;
  json["hosts"] = event.hosts;
  json["parameters"] = event.parameters;
  json["flops_per_token"] = event.flops_per_token;
  json["train_tokens"] = event.train_tokens;
  json["roof_tflops"] = event.roof_tflops;
  json["data"] = DataJson(event.data);
  return EventLine(json);
}

std::string EventJson(const std::string& what, int64_t step, const std::string& why, double seconds,
                      int64_t time) {
  ordered_json json = {{"event", what}, {"step", step}, {"time", time}};
  if (!why.empty()) json["why"] = why;
  if (seconds >= 0.0) json["seconds"] = seconds;
  return EventLine(json);
}

bool IsEvents(absl::string_view begin) {
  return begin.empty() || absl::StartsWith(begin, "{\"event\":");
}

absl::StatusOr<EventsFile> EventsFile::Open(const std::string& path, int64_t resume_step) {
  std::string kept;
  bool dropped = false;
  std::ifstream old(path, std::ios::binary);
  for (std::string line; std::getline(old, line);) {
    const bool keep = resume_step > 0 && !old.eof();
    if (keep) absl::StrAppend(&kept, line, "\n");
    dropped = dropped || !keep;
  }
  if (dropped) TL_RETURN_IF_ERROR(ReplaceFile(path, kept));
  TL_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(path));
  return EventsFile(std::move(file));
}

absl::Status EventsFile::Write(const StartEvent& event) {
  return file_.Append(ToJson(event, Now()));
}

absl::Status EventsFile::Write(const std::string& what, int64_t step, const std::string& why,
                               double seconds) {
  return file_.Append(EventJson(what, step, why, seconds, Now()));
}

}  // namespace tl
