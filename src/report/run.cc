// SPDX-License-Identifier: Apache-2.0
#include "report/run.h"

#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/logging.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/reader.h"
#include "checkpoint/run_config.h"
#include "infer/calibration.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMostReportBytes = int64_t{64} << 20;

bool IsThere(const std::string& path) {
  std::error_code none;
  return fs::exists(path, none);
}

// Saves, and who made the newest, of a run that says nothing of them itself.
void AskCheckpoints(const std::string& folder, History& history) {
  const std::vector<CheckpointEntry> saves = ListCheckpoints(folder);
  for (auto it = saves.rbegin(); it != saves.rend(); ++it)
    history.events.push_back({.kind = RunEvent::Kind::kSave, .step = it->step, .text = ""});
  for (const CheckpointEntry& save : saves) {
    const absl::StatusOr<Manifest> manifest = CheckpointReader::ReadManifest(save.path);
    if (!manifest.ok()) continue;
    history.facts = manifest->provenance;
    history.data = manifest->data;
    return;
  }
}

void ReadCalibrationOf(Run& run) {
  const std::string path = CalibrationPath(run.dir);
  if (!IsThere(path)) return;
  // Whether it is one is judged as decoding does.
  absl::Status status = ReadCalibration(path).status();
  if (status.ok()) {
    const absl::StatusOr<std::string> text = ReadTextFile(path, kMostReportBytes);
    absl::StatusOr<json> parsed = text.ok() ? ParseJson(*text, path) : text.status();
    status = parsed.status();
    if (parsed.ok()) run.calibration = *std::move(parsed);
  }
  if (!status.ok()) LogWarning(absl::StrCat(status.message(), ": left out of the report"));
}

void ReadDecodingOf(Run& run) {
  const std::string path = run.dir + "/decoding.json";
  if (!IsThere(path)) return;
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMostReportBytes);
  if (!text.ok()) {
    LogWarning(absl::StrCat(text.status().message(), ": left out of the report"));
    return;
  }
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    absl::StatusOr<json> record = ParseJson(std::string(line), path);
    if (record.ok() && record->is_object() && record->value("record", json()) == "report")
      run.decoding.push_back(*std::move(record));
  }
  if (run.decoding.empty())
    LogWarning(path +
               ": expected what `trunkline generate --report --json` prints, found no report");
}

// "b" of "a/b", "a/b" where it takes more to tell runs apart.
std::string LastParts(const std::string& dir, int parts) {
  std::error_code none;
  const fs::path whole = fs::weakly_canonical(dir, none);
  fs::path path = none || whole.empty() ? fs::path(dir) : whole;
  if (!path.has_filename()) path = path.parent_path();
  fs::path name = path.filename();
  for (int i = 1; i < parts && path.has_parent_path(); ++i) {
    path = path.parent_path();
    name = path.filename() / name;
  }
  return name.string();
}

void NameRuns(std::vector<Run>& runs) {
  constexpr int kMostParts = 64;
  for (int parts = 1; parts < kMostParts; ++parts) {
    std::set<std::string> names;
    for (Run& run : runs) names.insert(run.name = LastParts(run.dir, parts));
    if (names.size() == runs.size()) return;
  }
}

}  // namespace

absl::StatusOr<Run> LoadRun(const std::string& dir) {
  Run run;
  run.dir = dir;
  run.name = LastParts(dir, 1);
  TL_ASSIGN_OR_RETURN(run.config, LoadRunConfig(dir));
  TL_ASSIGN_OR_RETURN(run.metrics, ReadMetrics(dir + "/metrics.jsonl"));
  if (run.metrics.unreadable > 0)
    LogWarning(absl::StrCat(dir, "/metrics.jsonl: ", run.metrics.unreadable,
                            " lines are no records: left out of the report"));
  TL_ASSIGN_OR_RETURN(run.history, ReadHistory(dir + "/events.jsonl"));
  if (run.history.events.empty()) AskCheckpoints(CheckpointFolder(run.config, dir), run.history);
  ReadCalibrationOf(run);
  ReadDecodingOf(run);
  return run;
}

absl::StatusOr<std::vector<Run>> LoadRuns(absl::Span<const std::string> dirs) {
  std::vector<Run> runs;
  for (const std::string& dir : dirs) {
    TL_ASSIGN_OR_RETURN(Run run, LoadRun(dir));
    runs.push_back(std::move(run));
  }
  NameRuns(runs);
  return runs;
}

}  // namespace tl
