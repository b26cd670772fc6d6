// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "cli/command.h"
#include "cli/findings.h"
#include "config/parse.h"
#include "data/array_file.h"
#include "data/token_file.h"
#include "objective/keys.h"

namespace tl {
namespace {

const char* NameOf(TokenFormat format) {
  switch (format) {
    case TokenFormat::kLlmC:
      return "llm.c's format";
    case TokenFormat::kMegatron:
      return "Megatron's format";
    default:
      return "own format, checksums hold";
  }
}

// vocab: 0 for that which the file gives.
absl::Status VerifyTokens(const TokenFile& file, const std::string& path, int64_t vocab) {
  const auto start = std::chrono::steady_clock::now();
  TL_RETURN_IF_ERROR(file.Verify(vocab));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::error_code error;
  const auto bytes = static_cast<double>(std::filesystem::file_size(file.path(), error));
  absl::PrintF("%s: good: %d tokens in %d documents, all below %d, %s; %.2f GB/s\n", path,
               file.token_count(), file.document_count(), vocab > 0 ? vocab : file.vocab_size(),
               NameOf(file.format()), bytes / std::max(seconds, 1e-9) / 1e9);
  return absl::OkStatus();
}

// Tells an array by its first bytes; a .bin is tokens, whatever it begins with.
bool IsArray(const std::string& path) {
  std::string begin(8, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<size_t>(file.gcount()));
  return BeginsAsArray(begin) && !absl::EndsWith(path, ".bin");
}

void VerifyArrayFile(const std::string& path, Findings& findings) {
  const auto file = ArrayFile::Open(path);
  const absl::Status status = file.ok() ? (*file)->Verify() : file.status();
  if (findings.Add(status)) {
    absl::PrintF("bad: %s\n", status.message());
    return;
  }
  const ArrayHeader& header = (*file)->header();
  absl::PrintF("%s: good: %s of '%s'; its format stores no checksum\n", path,
               NumpyShape(header.shape), Name(header.type));
}

void VerifyTokenFile(const std::string& path, int64_t vocab, Findings& findings) {
  const auto file = TokenFile::Open(path);
  if (absl::IsNotFound(file.status())) return findings.AddUnchecked(file.status());
  if (file.ok() && vocab == 0 && (*file)->vocab_size() == 0)
    return findings.AddUnchecked(absl::InvalidArgumentError(absl::StrCat(
        path, ": its format stores no checksum and no vocabulary: give --vocab or --config")));
  const absl::Status status = file.ok() ? VerifyTokens(**file, path, vocab) : file.status();
  if (findings.Add(status)) absl::PrintF("bad: %s\n", status.message());
}

// The path as TokenFile::Open takes it, without .bin and .idx too.
bool IsCheckpoints(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

}  // namespace

absl::Status RunVerify(const Args& args, Communicator& world) {
  Args paths, overrides;
  std::string config_path;
  int64_t vocab = 0;
  Arguments arguments(
      "verify",
      "Reads every byte of token files, .npy and IDX files and checkpoints and checks what can be "
      "checked: checksums, that every token is below the vocabulary, and that every float is "
      "finite. llm.c's and Megatron's files have no "
      "checksum and name no vocabulary: give it. A training checks no more at its start than "
      "headers and samples, so that it can begin at once.",
      "  trunkline verify data/train.tok checkpoints/quickstart\n"
      "  trunkline verify --config configs/quickstart.toml fineweb_train_*.bin\n"
      "Exit codes: 0 all is well, 3 damage or ill health was found, 1 any other error.\n");
  arguments
      .PathPositional(
          "PATH", &paths,
          "Token files, also llm.c's and Megatron's; .npy and IDX files; folders of checkpoints: "
          "all in them")
      .Option("--vocab", &vocab, 0, "Tokens must be below this; 0: below what the file says")
      .PathOption("--config", &config_path, "Take the vocabulary of this config's [model]")
      .Overrides(&overrides);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  if (world.size() > 1)
    return absl::InvalidArgumentError(
        "`trunkline verify` works in one process: start it without mpirun or srun");
  if (!config_path.empty()) {
    if (vocab > 0) return absl::InvalidArgumentError("--vocab and --config: expected one of them");
    TL_ASSIGN_OR_RETURN(const Config config, LoadConfig(AllKeys(), config_path, overrides));
    vocab = config.model.vocab;
  }
  Findings findings;
  bool has_files = false, has_arrays = false, has_checkpoints = false;
  for (const std::string& path : paths) {
    if (!IsCheckpoints(path)) {
      const bool is_array = IsArray(path);
      (is_array ? has_arrays : has_files) = true;
      is_array ? VerifyArrayFile(path, findings) : VerifyTokenFile(path, vocab, findings);
      std::fflush(stdout);
      continue;
    }
    has_checkpoints = true;
    if (const auto found = FindCheckpoints(path); !found.ok()) {
      findings.AddUnchecked(found.status());
    } else {
      for (const std::string& checkpoint : *found) findings.VerifyCheckpoint(checkpoint);
    }
    std::fflush(stdout);
  }
  std::string what = has_files ? "token files" : "";
  if (has_arrays) absl::StrAppend(&what, what.empty() ? "" : " and ", "arrays");
  if (has_checkpoints) absl::StrAppend(&what, what.empty() ? "" : " and ", "checkpoints");
  return findings.End(what);
}

}  // namespace tl
