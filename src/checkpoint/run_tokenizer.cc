#include "checkpoint/run_tokenizer.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "data/blend.h"

namespace tl {

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadRunTokenizer(const std::string& run_dir,
                                                            const Config& config) {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string where = run_dir;
  std::error_code error;
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    const std::string path = absl::StrCat(run_dir, "/", name);
    if (tokenizer != nullptr || !std::filesystem::exists(path, error)) continue;
    TL_ASSIGN_OR_RETURN(tokenizer, LoadTokenizer(path));
    where = path;
  }
  if (tokenizer == nullptr) {
    std::vector<BlendFile> files;
    for (const auto* paths : {&config.data.train, &config.data.eval}) {
      for (const WeightedPath& path : *paths) files.push_back({path.path, path.weight});
    }
    TL_ASSIGN_OR_RETURN(tokenizer, TokenizerOf(files));
    if (!files.empty()) where = files[0].path;
  }
  if (tokenizer == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        run_dir,
        ": no tokenizer.json or tokenizer.model there, and the run's token files do not "
        "say which tokenizer made them"));
  }
  if (tokenizer->vocab_size() > config.model.vocab) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": made with a vocabulary of ", tokenizer->vocab_size(),
                     ", larger than the model's, ", config.model.vocab));
  }
  return tokenizer;
}

}  // namespace tl
