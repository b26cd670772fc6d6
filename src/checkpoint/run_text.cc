// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/run_text.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/inputs.h"
#include "checkpoint/manifest.h"
#include "data/blend.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// The token files of a run that are still there; *gone names the others.
std::vector<BlendFile> TokenFiles(const Config& config, std::string* gone) {
  std::vector<BlendFile> files;
  for (const auto* paths : {&config.data.train, &config.data.eval}) {
    for (const WeightedPath& path : *paths) {
      if (Exists(path.path))
        files.push_back({path.path, path.weight});
      else
        absl::StrAppend(gone, gone->empty() ? "; not there: " : ", ", path.path);
    }
  }
  return files;
}

// The tokenizer is the model's: by its vocabulary, and by its hash where the checkpoint has one.
absl::Status CheckFits(const Tokenizer& tokenizer, const std::string& where,
                       const std::string& run_dir, const Config& config) {
  if (tokenizer.vocab_size() > config.model.vocab) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": made with a vocabulary of ", tokenizer.vocab_size(),
                     ", larger than the model's, ", config.model.vocab));
  }
  const uint64_t known = TokenizerHashInManifest(CheckpointFolder(config, run_dir));
  if (known == 0 || known == tokenizer.hash() || config.data.any_tokenizer) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s: its tokenizer is another than the one whose tokens the model knows: expected hash "
      "%016x, found %016x; where that is meant, set [data] any_tokenizer = true",
      where, known, tokenizer.hash()));
}

}  // namespace

std::string FindText(const std::string& where) {
  std::error_code error;
  fs::path path = fs::path(where).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (fs::is_regular_file(path, error)) path = path.parent_path();
  if (path.empty()) path = ".";
  std::vector<std::string> places = {path.string()};
  for (const CheckpointEntry& entry : ListCheckpoints(path.string())) places.push_back(entry.path);
  for (const std::string& place : places) {
    if (HasModelText(place)) return place;
  }
  // Imports had the tokenizer's file itself.
  for (const char* name : {kTokenizerJson, kTokenizerModel}) {
    if (Exists((path / name).string())) return path.string();
  }
  // A checkpoint from before each had its own.
  if (!Exists((path / kManifestName).string())) return "";
  return FindText(path.has_parent_path() ? path.parent_path().string() : ".");
}

absl::StatusOr<std::optional<ModelText>> TextOfConfig(const Config& config) {
  if (config.model.of_values()) return std::nullopt;
  std::string gone;
  const std::vector<BlendFile> files = TokenFiles(config, &gone);
  std::optional<ModelText> text;
  TL_ASSIGN_OR_RETURN(text, TextOfFiles(files));
  if (config.run.init_from.empty()) return text;
  const std::string place = FindText(config.run.init_from);
  if (place.empty()) return text;
  TL_ASSIGN_OR_RETURN(ModelText start, ReadModelText(place));
  if (!text.has_value()) return start;
  if (text->tokenizer->hash() != start.tokenizer->hash()) return text;
  for (const int32_t end : text->rules.ends) {
    if (!start.rules.IsEnd(end)) start.rules.ends.push_back(end);
  }
  return start;
}

absl::StatusOr<ModelText> LoadRunText(const std::string& run_dir, const Config& config) {
  for (const std::string& where : {run_dir, CheckpointFolder(config, run_dir)}) {
    const std::string place = FindText(where);
    if (place.empty()) continue;
    TL_ASSIGN_OR_RETURN(ModelText text, ReadModelText(place));
    TL_RETURN_IF_ERROR(CheckFits(*text.tokenizer, place, run_dir, config));
    return text;
  }
  TL_ASSIGN_OR_RETURN(std::optional<ModelText> text, TextOfConfig(config));
  std::string gone;
  const std::vector<BlendFile> files = TokenFiles(config, &gone);
  if (!text.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        run_dir,
        ": expected a tokenizer in this folder, or a token file of the run that "
        "says which tokenizer made it ([data] train or eval of its config.toml, or as --set), "
        "found none",
        gone));
  }
  TL_RETURN_IF_ERROR(CheckFits(
      *text->tokenizer, files.empty() ? config.run.init_from : files[0].path, run_dir, config));
  return *std::move(text);
}

absl::Status SaveRunText(const Config& config, RunStart start) {
  TL_ASSIGN_OR_RETURN(const std::optional<ModelText> text, TextOfConfig(config));
  if (!text.has_value()) return absl::OkStatus();
  const std::string& folder = config.run.dir;
  if (start == RunStart::kResumed && HasModelText(folder)) {
    const auto there = ReadModelText(folder);
    if (there.ok() && there->tokenizer->hash() == text->tokenizer->hash()) return absl::OkStatus();
  }
  return SaveModelText(*text, folder);
}

}  // namespace tl
