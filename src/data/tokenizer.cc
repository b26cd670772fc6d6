// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/lfs.h"
#include "base/status.h"
#include "data/sentencepiece_proto.h"

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

// Lines of a token in base64 and its number.
bool IsTiktoken(const std::string& bytes) {
  const std::string line = bytes.substr(0, std::min<size_t>(bytes.find('\n'), 256));
  const size_t blank = line.find(' ');
  if (blank == std::string::npos || blank < 4 || blank + 1 == line.size()) return false;
  return std::all_of(line.begin(), line.begin() + static_cast<int64_t>(blank),
                     [](char c) {
                       return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' ||
                              c == '/' || c == '=';
                     }) &&
         std::all_of(line.begin() + static_cast<int64_t>(blank) + 1, line.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerFile(const std::string& path) {
  std::string bytes;
  TL_RETURN_IF_ERROR(ReadWhole(path, &bytes));
  TL_RETURN_IF_ERROR(CheckNotLfsPointer(bytes, path));
  if (IsTiktoken(bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     ": a list of tokens as tiktoken has it; expected a SentencePiece model or "
                     "a tokenizer.json: transformers makes the latter of it, or gives it with the "
                     "model"));
  }
  const bool json = (!bytes.empty() && bytes[0] == '{') || absl::EndsWith(path, ".json");
  auto tokenizer =
      LoadTokenizer(json ? TokenizerKind::kBpe : TokenizerKind::kSentencePiece, std::move(bytes));
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(),
                      absl::StrCat(path, ": ", tokenizer.status().message()));
}

// Tells whether a tokenizer.json is a SentencePiece model once more, in the form that
// fast tokenizers read: not byte-level, and every added token a piece of the model.
bool RepeatsSentencePiece(const std::string& json, const std::string& model) {
  const auto parsed = ParseJson(json, "tokenizer.json");
  const auto proto = ParseSentencePieceProto(model);
  if (!parsed.ok() || !proto.ok()) return false;
  const nlohmann::json& root = *parsed;
  if (!root.is_object() || !root.contains("model") || !root["model"].is_object()) return false;
  const auto& kind = root["model"];
  const auto fallback = kind.find("byte_fallback");
  const bool bytes_as_pieces = fallback != kind.end() && *fallback == true;
  const auto type = kind.find("type");
  if (type == kind.end() || (*type != "Unigram" && !(*type == "BPE" && bytes_as_pieces)))
    return false;
  const auto added = root.find("added_tokens");
  if (added == root.end()) return true;
  return added->is_array() && std::all_of(added->begin(), added->end(), [&](const auto& token) {
           if (!token.is_object() || !token.contains("id") || !token.contains("content"))
             return false;
           const auto& id = token["id"];
           return id.is_number_unsigned() && id.template get<uint64_t>() < proto->pieces.size() &&
                  token["content"] == proto->pieces[id.template get<size_t>()].text;
         });
}

}  // namespace

absl::Status Tokenizer::EncodeWithDropout(absl::string_view, double, uint64_t,
                                          std::vector<int32_t>*) const {
  return absl::InvalidArgumentError(
      absl::StrCat("bpe-dropout: expected a SentencePiece BPE model, found ", name()));
}

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
      return MakeJsonTokenizer(std::move(definition));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("expected a tokenizer of kind 1 (bytes), 2 (sentencepiece) or 3 (bpe), found ",
                   static_cast<uint32_t>(kind)));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& name_or_path) {
  if (name_or_path == "bytes") return MakeByteTokenizer();
  struct stat info;
  if (::stat(name_or_path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return LoadTokenizerFile(name_or_path);
  const std::string json = name_or_path + "/tokenizer.json",
                    model = name_or_path + "/tokenizer.model";
  const bool has_json = ::stat(json.c_str(), &info) == 0;
  const bool has_model = ::stat(model.c_str(), &info) == 0;
  if (!has_json && !has_model) {
    return absl::NotFoundError(
        absl::StrCat(name_or_path,
                     ": expected tokenizer.json or tokenizer.model in this folder, "
                     "found neither"));
  }
  if (!has_json) return LoadTokenizerFile(model);
  if (!has_model) return LoadTokenizerFile(json);
  std::string json_bytes, model_bytes;
  TL_RETURN_IF_ERROR(ReadWhole(json, &json_bytes));
  TL_RETURN_IF_ERROR(ReadWhole(model, &model_bytes));
  if (RepeatsSentencePiece(json_bytes, model_bytes)) return LoadTokenizerFile(model);
  auto tokenizer = LoadTokenizerFile(json);
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(),
                      absl::StrCat(tokenizer.status().message(),
                                   "; tokenizer.model beside it is not the same tokenizer"));
}

}  // namespace tl
