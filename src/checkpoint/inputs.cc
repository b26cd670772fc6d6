// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/inputs.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/files.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/watchdog.h"
#include "base/where.h"
#include "checkpoint/folder.h"
#include "checkpoint/health.h"
#include "checkpoint/load.h"
#include "checkpoint/reader.h"
#include "checkpoint/run_text.h"
#include "comm/facts.h"
#include "data/model_text.h"
#include "data/picture_file.h"
#include "data/token_file.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// A safetensors file's header, which is as long as its first 8 bytes say.
absl::StatusOr<FileIdentity> IdentifySafetensors(const std::string& key, const std::string& path) {
  constexpr int64_t kMostHeader = 64 << 20;
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY | O_NONBLOCK));
  TL_ASSIGN_OR_RETURN(const int64_t size, FileSize(file, path));
  uint64_t header = 0;
  if (size >= static_cast<int64_t>(sizeof(header)))
    TL_RETURN_IF_ERROR(ReadAt(file, &header, sizeof(header), 0, path));
  const auto bytes = static_cast<int64_t>(std::min<uint64_t>(header, kMostHeader));
  return SampleFile(key, path, static_cast<int64_t>(sizeof(header)) + bytes);
}

// The stored checksum of all the manifest stands at its end.
absl::StatusOr<FileIdentity> IdentifyManifest(const std::string& key,
                                              const std::string& checkpoint) {
  const std::string path = absl::StrCat(checkpoint, "/", kManifestName);
  FileIdentity identity{.key = absl::StrCat(key, " ", fs::path(checkpoint).filename().string()),
                        .path = path};
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY | O_NONBLOCK));
  TL_ASSIGN_OR_RETURN(identity.bytes, FileSize(file, path));
  constexpr int64_t kDigits = 8, kAfter = 3;  // "XXXXXXXX"}\n
  char digits[kDigits];
  std::vector<char> header(static_cast<size_t>(std::min(identity.bytes, kSampleBytes)));
  if (identity.bytes < kDigits + kAfter)
    return absl::DataLossError(path + ": too short for a manifest");
  TL_RETURN_IF_ERROR(ReadAt(file, header.data(), header.size(), 0, path));
  TL_RETURN_IF_ERROR(ReadAt(file, digits, kDigits, identity.bytes - kAfter - kDigits, path));
  if (!absl::SimpleHexAtoi(absl::string_view(digits, kDigits), &identity.crc))
    return absl::DataLossError(path + ": no checksum at its end");
  identity.header_crc = Crc32c(header.data(), header.size());
  return identity;
}

// In the order in which LoadNewest tries them.
absl::StatusOr<std::vector<std::string>> CheckpointsToTry(const std::string& where) {
  TL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FindCheckpoints(where));
  return HealthyFirst(paths);
}

// Which of so many files this rank begins with: multiples of the golden ratio are even, however
// many ranks there are.
size_t FirstToCheck(size_t files) {
  constexpr double kGolden = 0.6180339887498949;
  double whole = 0.0;
  const double part = std::modf(std::max(LogRank(), 0) * kGolden, &whole);
  return static_cast<size_t>(part * static_cast<double>(files));
}

// Calls identify(i, name, samples, check), which gives the identities of file i as `name`, by so many
// samples; check: whether to look at samples of its content too, for which there is no time beyond
// the budget. content: what those hold.
template <typename Identify>
absl::Status IdentifyAll(const std::string& key, const std::vector<WeightedPath>& paths,
                         const char* content, std::chrono::milliseconds budget,
                         std::vector<FileIdentity>* files, const Identify& identify) {
  const Clock::time_point until = Clock::now() + budget;
  const size_t count = paths.size(), first = FirstToCheck(count);
  std::vector<std::vector<FileIdentity>> identities(count);
  size_t checked = 0;
  for (size_t k = 0; k < count; ++k) {
    Beat();
    const size_t i = (first + k) % count;
    const bool check = Clock::now() < until;
    checked += check;
    TL_ASSIGN_OR_RETURN(identities[i],
                        identify(i, absl::StrCat(key, "[", i, "]"), SamplesOfEach(count), check));
  }
  for (const auto& of_one : identities) files->insert(files->end(), of_one.begin(), of_one.end());
  if (checked < count && LogRank() <= 0)
    LogInfo(absl::StrCat(key, ": looked at samples of the ", content, " of ", checked, " of ",
                         count, " files within ", budget.count(),
                         " ms; `trunkline verify` reads all"));
  return absl::OkStatus();
}

}  // namespace

absl::Status IdentifyData(const std::string& key, const std::vector<WeightedPath>& paths,
                          int64_t vocab, std::vector<FileIdentity>* files,
                          std::chrono::milliseconds budget) {
  return IdentifyAll(key, paths, "tokens", budget, files,
                     [&](size_t i, const std::string& name, int samples,
                         bool check) -> absl::StatusOr<std::vector<FileIdentity>> {
                       TL_ASSIGN_OR_RETURN(const auto file, TokenFile::Open(paths[i].path));
                       // One that says it has a larger vocabulary is refused for that.
                       if (check && file->vocab_size() <= vocab)
                         TL_RETURN_IF_ERROR(CheckSampledTokens(*file, vocab));
                       return IdentifyTokenFile(name, *file, samples);
                     });
}

absl::Status IdentifyPictures(const std::string& key, const std::vector<WeightedPath>& paths,
                              const PatchGrid& grid, int64_t classes,
                              std::vector<FileIdentity>* files, std::chrono::milliseconds budget) {
  return IdentifyAll(key, paths, "pictures", budget, files,
                     [&](size_t i, const std::string& name, int samples,
                         bool check) -> absl::StatusOr<std::vector<FileIdentity>> {
                       TL_ASSIGN_OR_RETURN(
                           const auto file,
                           PictureFile::Open(paths[i].path, paths[i].labels, grid, classes));
                       if (check) TL_RETURN_IF_ERROR(file->CheckSome(kIdentitySamples));
                       return IdentifyPictureFile(name, *file, samples);
                     });
}

absl::Status IdentifyDataOf(const Config& config, const std::string& key,
                            const std::vector<WeightedPath>& paths,
                            std::vector<FileIdentity>* files) {
  const ModelConfig& model = config.model;
  return model.of_values() ? IdentifyPictures(key, paths, GridOf(model), model.classes, files)
                           : IdentifyData(key, paths, model.vocab, files);
}

absl::Status IdentifyWeights(const std::string& key, const std::string& where,
                             std::vector<FileIdentity>* files) {
  std::error_code error;
  const std::string file = fs::is_regular_file(where, error) ? where : ImportedWeights(where);
  if (!file.empty()) {
    TL_ASSIGN_OR_RETURN(FileIdentity identity, IdentifySafetensors(key, file));
    files->push_back(std::move(identity));
    return absl::OkStatus();
  }
  const auto checkpoints = CheckpointsToTry(where);
  // LoadNewest goes by rank 0's list: others may see a folder's entries late.
  if (!checkpoints.ok()) return fs::exists(where, error) ? absl::OkStatus() : checkpoints.status();
  auto identity = IdentifyManifest(key, (*checkpoints)[0]);
  if (identity.ok()) files->push_back(*std::move(identity));
  return absl::OkStatus();
}

absl::Status AgreeOnFiles(Communicator& world, const absl::Status& mine,
                          const std::vector<FileIdentity>& files) {
  if (world.size() == 1) return mine;
  TL_RETURN_IF_ERROR(AgreeOnStatus(
      world, mine.ok() ? mine
                       : absl::Status(mine.code(),
                                      absl::StrCat(mine.message(), " (on ", HostName(), ")"))));
  std::vector<Fact> facts;
  for (const FileIdentity& file : files)
    facts.push_back({.what = file.key, .value = Describe(file), .where = file.path});
  // A rank may see a new checkpoint late, and identify an older one.
  return AgreeOnFacts(world, facts, Absence::kAllowed);
}

absl::Status AgreeOnManifest(Communicator& world, const std::string& checkpoint) {
  auto identity = IdentifyManifest("checkpoint", checkpoint);
  std::vector<FileIdentity> files;
  if (identity.ok()) files.push_back(*identity);
  return AgreeOnFiles(world, identity.status(), files);
}

uint64_t TokenizerHashOf(const std::string& weights) {
  if (const uint64_t hash = TokenizerHashInManifest(weights); hash != 0) return hash;
  const std::string place = FindText(weights);
  if (place.empty()) return 0;
  const auto text = ReadModelText(place);
  return text.ok() ? text->tokenizer->hash() : 0;
}

uint64_t TokenizerHashInManifest(const std::string& where) {
  const auto checkpoints = CheckpointsToTry(where);
  if (!checkpoints.ok()) return 0;
  for (const std::string& path : *checkpoints) {
    const auto manifest = CheckpointReader::ReadManifest(path);
    if (manifest.ok()) return manifest->tokenizer_hash;
  }
  return 0;
}

uint64_t TokenizerHashOf(const std::vector<FileIdentity>& files) {
  for (const FileIdentity& file : files)
    if (file.tokenizer_hash != 0) return file.tokenizer_hash;
  return 0;
}

absl::Status CheckTokenizer(const std::vector<FileIdentity>& files, const std::string& weights) {
  if (TokenizerHashOf(files) == 0) return absl::OkStatus();
  const uint64_t model = TokenizerHashOf(weights);
  if (model == 0) return absl::OkStatus();
  for (const FileIdentity& file : files) {
    if (file.tokenizer_hash == 0 || file.tokenizer_hash == model) continue;
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s: %s was made with another tokenizer than the model of %s knows: expected hash %016x, "
        "found %016x; where that is meant, set [data] any_tokenizer = true",
        file.key, file.path, weights, model, file.tokenizer_hash));
  }
  return absl::OkStatus();
}

absl::Status CheckEvalInputs(const std::string& key, const std::vector<WeightedPath>& paths,
                             const Config& config, const std::string& saves, Communicator& world) {
  std::vector<FileIdentity> files;
  absl::Status status = IdentifyDataOf(config, key, paths, &files);
  if (status.ok()) status = IdentifyWeights("weights", saves, &files);
  TL_RETURN_IF_ERROR(AgreeOnFiles(world, status, files));
  if (world.rank() == 0 && !config.data.any_tokenizer) status = CheckTokenizer(files, saves);
  return AgreeOnStatus(world, status);
}

}  // namespace tl
