// SPDX-License-Identifier: Apache-2.0
#include "data/model_text.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/json.h"
#include "base/lfs.h"
#include "base/status.h"
#include "base/temporary.h"
#include "data/folder_rules.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "/tokenizer";
constexpr char kRules[] = "rules.json";
constexpr int64_t kMostRules = 1 << 20;
constexpr int64_t kMostFile = int64_t{256} << 20;

// What of a Hugging Face folder is read and kept, where it is there.
constexpr const char* kKept[] = {kTokenizerJson,
                                 kTokenizerModel,
                                 "tokenizer_config.json",
                                 "special_tokens_map.json",
                                 "added_tokens.json",
                                 "chat_template.jinja",
                                 "chat_template.json",
                                 "vocab.json",
                                 "merges.txt",
                                 "generation_config.json",
                                 "config.json"};

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

absl::StatusOr<std::map<std::string, std::string>> ReadKept(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const char* name : kKept) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (!Exists(path)) continue;
    TL_ASSIGN_OR_RETURN(files[name], ReadTextFile(path, kMostFile));
    TL_RETURN_IF_ERROR(CheckNotLfsPointer(files[name], path));
  }
  return files;
}

// A folder that SaveModelText has written.
absl::StatusOr<ModelText> ReadOwn(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kRules);
  TL_ASSIGN_OR_RETURN(const std::string json, ReadTextFile(path, kMostRules));
  ModelText text;
  std::string name;
  TL_ASSIGN_OR_RETURN(text.rules, ParseTextRules(json, path, &name));
  TL_ASSIGN_OR_RETURN(text.files, ReadKept(folder));
  TL_ASSIGN_OR_RETURN(text.tokenizer,
                      LoadTokenizer(name == kBytesName ? name : absl::StrCat(folder, "/", name)));
  return text;
}

// The name of the file whose bytes the definition is.
std::string FileOf(const Tokenizer& tokenizer) {
  if (tokenizer.definition().empty()) return kBytesName;
  return absl::StartsWith(tokenizer.definition(), "{") ? kTokenizerJson : kTokenizerModel;
}

absl::Status WriteDurably(const std::string& path, const std::string& bytes) {
  TL_ASSIGN_OR_RETURN(File file, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL));
  TL_RETURN_IF_ERROR(WriteAll(file, bytes.data(), bytes.size(), path));
  TL_RETURN_IF_ERROR(Sync(file, path));
  const int error = file.Close();
  return error == 0 ? absl::OkStatus() : SystemError(path, "write", error);
}

// Moves a folder away while another takes its name, and back where none does.
class Aside {
 public:
  static absl::StatusOr<Aside> Move(const std::string& path) {
    const std::string away = absl::StrCat(path, ".old-", getpid());
    if (std::rename(path.c_str(), away.c_str()) == 0) return Aside(path, away);
    if (errno == ENOENT) return Aside(path, "");
    return SystemError(path, "replace", errno);
  }
  Aside(Aside&& other) noexcept
      : path_(std::move(other.path_)), away_(std::exchange(other.away_, "")) {}
  Aside& operator=(Aside&&) = delete;
  ~Aside() {
    std::error_code error;
    if (away_.empty()) return;
    if (Exists(path_))
      fs::remove_all(away_, error);
    else
      fs::rename(away_, path_, error);
  }

 private:
  Aside(std::string path, std::string away) : path_(std::move(path)), away_(std::move(away)) {}
  std::string path_, away_;  // away_ is empty where nothing was there
};

}  // namespace

ModelText TextOf(std::shared_ptr<const Tokenizer> tokenizer) {
  ModelText text{.tokenizer = std::move(tokenizer)};
  if (const int32_t end = UsualEnd(*text.tokenizer); end >= 0) text.rules.ends = {end};
  return text;
}

absl::StatusOr<ModelText> ReadModelText(const std::string& where) {
  std::error_code error;
  if (HasModelText(where)) return ReadOwn(where + kFolder);
  if (Exists(absl::StrCat(where, "/", kRules))) return ReadOwn(where);
  TL_ASSIGN_OR_RETURN(std::shared_ptr<const Tokenizer> tokenizer, LoadTokenizer(where));
  std::string folder = where;
  if (!fs::is_directory(where, error)) {
    const fs::path path(where);
    if (path.filename() != kTokenizerJson && path.filename() != kTokenizerModel)
      return TextOf(std::move(tokenizer));
    folder = path.has_parent_path() ? path.parent_path().string() : ".";
  }
  ModelText text{.tokenizer = std::move(tokenizer)};
  TL_ASSIGN_OR_RETURN(text.files, ReadKept(folder));
  TL_ASSIGN_OR_RETURN(text.rules, ReadFolderRules(text.files, *text.tokenizer, folder));
  return text;
}

bool HasModelText(const std::string& folder) {
  return Exists(absl::StrCat(folder, kFolder, "/", kRules));
}

absl::Status SaveModelText(const ModelText& text, const std::string& folder) {
  std::map<std::string, std::string> files = text.files;
  const std::string name = FileOf(*text.tokenizer);
  if (name != kBytesName) files[name] = text.tokenizer->definition();
  if (HasModelText(folder)) {
    const auto there = ReadOwn(folder + kFolder);
    if (there.ok() && there->rules == text.rules && there->files == files &&
        there->tokenizer->hash() == text.tokenizer->hash())
      return absl::OkStatus();
  }
  files[kRules] = WriteTextRules(text.rules, name);
  const std::string target = folder + kFolder;
  TL_ASSIGN_OR_RETURN(const Aside before, Aside::Move(target));
  TL_ASSIGN_OR_RETURN(Temporary temporary, Temporary::MakeFolder(target));
  for (const auto& [file, bytes] : files)
    TL_RETURN_IF_ERROR(WriteDurably(absl::StrCat(temporary.path(), "/", file), bytes));
  return temporary.Commit();
}

absl::Status CopyModelText(const std::string& from, const std::string& to) {
  if (!HasModelText(from)) return absl::OkStatus();
  const std::string source = from + kFolder, target = to + kFolder;
  std::error_code error;
  if (!fs::create_directory(target, error))
    return SystemError(target, "make the folder", error ? error.value() : EEXIST);
  for (fs::directory_iterator it(source, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string(),
                      copy = absl::StrCat(target, "/", it->path().filename().string());
    if (link(path.c_str(), copy.c_str()) == 0) continue;
    TL_ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(path, kMostFile));
    TL_RETURN_IF_ERROR(WriteDurably(copy, bytes));
  }
  return error ? SystemError(source, "read the folder", error.value()) : SyncFolder(target);
}

}  // namespace tl
