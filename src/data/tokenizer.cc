#include "data/tokenizer.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"

namespace tl {
namespace {

absl::Status ReadWhole(const std::string& path, std::string* bytes) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open the tokenizer"));
  }
  char buffer[65536];
  size_t n;
  while ((n = std::fread(buffer, 1, sizeof(buffer), file)) > 0) bytes->append(buffer, n);
  const int error = std::ferror(file) != 0 ? errno : 0;
  std::fclose(file);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat(path, ": cannot read"));
  return absl::OkStatus();
}

}  // namespace

const char* TokenizerKindName(TokenizerKind kind) {
  switch (kind) {
    case TokenizerKind::kNone:
      return "none";
    case TokenizerKind::kBytes:
      return "bytes";
    case TokenizerKind::kSentencePiece:
      return "sentencepiece";
    case TokenizerKind::kBpe:
      return "bpe";
  }
  return "unknown";
}

uint64_t Tokenizer::hash() const {
  uint64_t h = 0xcbf29ce484222325u;
  const auto add = [&h](unsigned char byte) { h = (h ^ byte) * 0x100000001b3u; };
  add(static_cast<unsigned char>(kind()));
  for (char c : definition()) add(static_cast<unsigned char>(c));
  return h;
}

std::string Tokenizer::name() const {
  if (definition().empty()) return TokenizerKindName(kind());
  return absl::StrFormat("%s-%016x", TokenizerKindName(kind()), hash());
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(TokenizerKind kind,
                                                         std::string definition) {
  switch (kind) {
    case TokenizerKind::kNone:
      break;
    case TokenizerKind::kBytes:
      return MakeByteTokenizer();
    case TokenizerKind::kSentencePiece:
      return MakeSentencePieceTokenizer(std::move(definition));
    case TokenizerKind::kBpe:
      return MakeBpeTokenizer(std::move(definition));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("expected a tokenizer of kind 1 (bytes), 2 (sentencepiece) or 3 (bpe), found ",
                   static_cast<uint32_t>(kind)));
}

namespace {

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerFile(const std::string& path) {
  std::string bytes;
  TL_RETURN_IF_ERROR(ReadWhole(path, &bytes));
  const bool json = (!bytes.empty() && bytes[0] == '{') || absl::EndsWith(path, ".json");
  auto tokenizer =
      LoadTokenizer(json ? TokenizerKind::kBpe : TokenizerKind::kSentencePiece, std::move(bytes));
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(),
                      absl::StrCat(path, ": ", tokenizer.status().message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& name_or_path) {
  if (name_or_path == "bytes") return MakeByteTokenizer();
  struct stat info;
  if (::stat(name_or_path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return LoadTokenizerFile(name_or_path);
  // Where both are there they are the same tokenizer twice; that of SentencePiece's models as a
  // tokenizer.json is not a byte-level one.
  absl::Status refused;
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    const std::string path = absl::StrCat(name_or_path, "/", name);
    if (::stat(path.c_str(), &info) != 0) continue;
    auto tokenizer = LoadTokenizerFile(path);
    if (tokenizer.ok()) return tokenizer;
    refused = refused.ok()
                  ? tokenizer.status()
                  : absl::Status(refused.code(), absl::StrCat(refused.message(), "; ",
                                                              tokenizer.status().message()));
  }
  if (!refused.ok()) return refused;
  return absl::NotFoundError(absl::StrCat(
      name_or_path, ": expected tokenizer.json or tokenizer.model in this folder, found neither"));
}

}  // namespace tl
