#include "checkpoint/run_tokenizer.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "checkpoint/inputs.h"
#include "data/blend.h"

namespace tl {

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadRunTokenizer(const std::string& run_dir,
                                                            const Config& config) {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string where = run_dir;
  std::error_code error;
  const auto exists = [&error](const std::string& path) {
    return std::filesystem::exists(path, error);
  };
  if (exists(run_dir + "/tokenizer.json") || exists(run_dir + "/tokenizer.model")) {
    TL_ASSIGN_OR_RETURN(tokenizer, LoadTokenizer(run_dir));
  } else {
    // Any one of them will do: others may have been cleared away since.
    std::vector<BlendFile> files;
    std::string gone;
    for (const auto* paths : {&config.data.train, &config.data.eval}) {
      for (const WeightedPath& path : *paths) {
        if (exists(path.path))
          files.push_back({path.path, path.weight});
        else
          absl::StrAppend(&gone, gone.empty() ? "; not there: " : ", ", path.path);
      }
    }
    TL_ASSIGN_OR_RETURN(tokenizer, TokenizerOf(files));
    if (tokenizer == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          run_dir,
          ": expected tokenizer.json or tokenizer.model there, or a token file of the run that "
          "says which tokenizer made it ([data] train or eval of its config.toml, or as --set), "
          "found none",
          gone));
    }
    where = files[0].path;
  }
  if (tokenizer->vocab_size() > config.model.vocab) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": made with a vocabulary of ", tokenizer->vocab_size(),
                     ", larger than the model's, ", config.model.vocab));
  }
  const uint64_t known = TokenizerHashInManifest(CheckpointFolder(config, run_dir));
  if (known != 0 && known != tokenizer->hash() && !config.data.any_tokenizer) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s: its tokenizer is another than the one whose tokens the model knows: expected hash "
        "%016x, found %016x; where that is meant, set [data] any_tokenizer = true",
        where, known, tokenizer->hash()));
  }
  return tokenizer;
}

}  // namespace tl
