// SPDX-License-Identifier: Apache-2.0
#include "convert/report.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/host_memory.h"
#include "base/json.h"

namespace tl {
namespace {

constexpr size_t kShown = 3;  // tensors with one note

}  // namespace

std::string ReportJson(const std::string& format, const std::vector<TensorPlacement>& placements) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const TensorPlacement& p : placements) {
    nlohmann::ordered_json entry = {{"source", nullptr}, {"shape", p.shape}, {"target", nullptr}};
    if (!p.source.empty()) entry["source"] = p.source;
    if (!p.left_out()) {
      entry["target"] = p.target;
      entry["file"] = p.file;
      entry["dtype"] = Name(p.dtype);
    }
    if (!p.note.empty()) entry["note"] = p.note;
    tensors.push_back(std::move(entry));
  }
  return nlohmann::ordered_json{{"format", format}, {"tensors", tensors}}.dump(1) + "\n";
}

std::string ReportText(const std::vector<TensorPlacement>& placements) {
  struct File {
    int64_t tensors = 0, elements = 0, bytes = 0;
  };
  std::map<std::string, File> files;
  std::map<std::string, std::vector<std::string>> notes;  // tensors by note
  for (const TensorPlacement& p : placements) {
    if (!p.note.empty()) notes[p.note].push_back(p.source.empty() ? p.target : p.source);
    if (p.left_out()) continue;
    File& file = files[p.file];
    ++file.tensors;
    file.elements += p.elements();
    file.bytes += p.bytes();
  }
  std::string text;
  for (const auto& [name, file] : files) {
    absl::StrAppend(&text, name, ": ", file.tensors, " tensors, ", file.elements, " numbers, ",
                    HumanBytes(file.bytes), "\n");
  }
  for (const auto& [note, tensors] : notes) {
    const size_t shown = std::min(tensors.size(), kShown);
    for (size_t i = 0; i < shown; ++i) absl::StrAppend(&text, tensors[i], ": ", note, "\n");
    if (tensors.size() > shown)
      absl::StrAppend(&text, "... and ", tensors.size() - shown, " more: ", note, "\n");
  }
  absl::StrAppend(&text, "every tensor is in ", kReportFile, "\n");
  return text;
}

}  // namespace tl
