// SPDX-License-Identifier: Apache-2.0
#include "data/token_decoder.h"

#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/byte_level.h"
#include "data/characters.h"
#include "data/token_model.h"

namespace tl::internal {
namespace {

constexpr char kReplacement[] = "\uFFFD";

bool IsOneChar(const std::string& text) {
  return !text.empty() && CharSize(text[0]) == text.size();
}

// Takes up to `start` signs off the front, and up to `stop` off the end of what was there.
std::string Stripped(const std::string& token, const std::string& sign, size_t start, size_t stop) {
  const absl::string_view text = token;
  size_t begin = 0, end = text.size();
  for (size_t i = 0; i < start && text.substr(begin, sign.size()) == sign; ++i)
    begin += sign.size();
  for (size_t i = 0;
       i < stop && end >= sign.size() && text.substr(end - sign.size(), sign.size()) == sign; ++i)
    end -= sign.size();
  return begin < end ? std::string(text.substr(begin, end - begin)) : "";
}

}  // namespace

absl::StatusOr<TokenDecoder> TokenDecoder::Make(const Json& part) {
  TokenDecoder decoder;
  TL_RETURN_IF_ERROR(decoder.Add(part, /*alone=*/true));
  return decoder;
}

absl::Status TokenDecoder::Add(const Json& part, bool alone) {
  const std::string type = TypeOf(part);
  if (type == "Sequence" && Get(part, "decoders").is_array()) {
    const Json& parts = Get(part, "decoders");
    for (const Json& step : parts) TL_RETURN_IF_ERROR(Add(step, alone && parts.size() == 1));
    return absl::OkStatus();
  }
  Step step;
  if (type == "ByteLevel" && alone) {
    step.kind = Step::Kind::kByteLevel;
  } else if (type == "ByteFallback") {
    step.kind = Step::Kind::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = Step::Kind::kFuse;
  } else if (type == "Metaspace") {
    TL_RETURN_IF_ERROR(MakeMetaspace(part, &step));
  } else if (type == "Strip") {
    TL_RETURN_IF_ERROR(MakeStrip(part, &step));
  } else if (type == "Replace") {
    step.kind = Step::Kind::kReplace;
    TL_ASSIGN_OR_RETURN(PatternReplacer replacer, PatternReplacer::Make("decoder", part));
    step.replacer.push_back(std::move(replacer));
  } else {
    return UnsupportedPart(alone ? "decoder" : "decoder in a Sequence:", part);
  }
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status TokenDecoder::MakeMetaspace(const Json& part, Step* step) {
  step->kind = Step::Kind::kMetaspace;
  TL_RETURN_IF_ERROR(GetString(part, "replacement", &step->character));
  if (!IsOneChar(step->character)) return BadPart("Metaspace.replacement", "one character", part);
  TL_ASSIGN_OR_RETURN(const std::string scheme, PrependScheme(part));
  step->strips_first = scheme != "never";
  return absl::OkStatus();
}

absl::Status TokenDecoder::MakeStrip(const Json& part, Step* step) {
  step->kind = Step::Kind::kStrip;
  TL_RETURN_IF_ERROR(GetString(part, "content", &step->character));
  if (!IsOneChar(step->character)) return BadPart("Strip.content", "one character", part);
  for (const auto& [key, value] : {std::pair("start", &step->start), {"stop", &step->stop}}) {
    const Json& count = Get(part, key);
    if (!count.is_number_unsigned())
      return BadPart(absl::StrCat("Strip.", key), "a number from 0 up", count);
    *value = count.get<size_t>();
  }
  return absl::OkStatus();
}

std::string TokenDecoder::ApplyToOne(const Step& step, const std::string& token, bool first) {
  std::string made;
  switch (step.kind) {
    case Step::Kind::kByteLevel:
      return FromStandIns(token, &made) ? made : token;
    case Step::Kind::kMetaspace:
      return absl::StrReplaceAll(token, {{step.character, step.strips_first && first ? "" : " "}});
    case Step::Kind::kReplace:
      if (const absl::Status status = step.replacer[0].Apply(token, &made); !status.ok()) {
        static std::once_flag told;
        std::call_once(told, [&] {
          LogWarning(
              absl::StrCat("decoder Replace: ", status.message(), "; such a text stays as it is"));
        });
        return token;
      }
      return made;
    case Step::Kind::kStrip:
      return Stripped(token, step.character, step.start, step.stop);
    case Step::Kind::kByteFallback:
    case Step::Kind::kFuse:
      break;
  }
  return token;
}

// Bytes in a row that are UTF-8 become one token, others a U+FFFD each.
std::vector<std::string> TokenDecoder::FallBack(std::vector<std::string> tokens) {
  std::vector<std::string> made;
  std::string bytes;
  const auto flush = [&] {
    if (ValidUtf8Prefix(bytes) == bytes.size()) {
      if (!bytes.empty()) made.push_back(bytes);
    } else {
      made.insert(made.end(), bytes.size(), kReplacement);
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const int byte = ByteOfToken(token); byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
      continue;
    }
    flush();
    made.push_back(std::move(token));
  }
  flush();
  return made;
}

std::string TokenDecoder::Decode(std::vector<std::string> tokens) const {
  for (const Step& step : steps_) {
    if (step.kind == Step::Kind::kFuse) {
      tokens = {absl::StrJoin(tokens, "")};
    } else if (step.kind == Step::Kind::kByteFallback) {
      tokens = FallBack(std::move(tokens));
    } else {
      for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = ApplyToOne(step, tokens[i], i == 0);
    }
  }
  return absl::StrJoin(tokens, "");
}

std::string TokenDecoder::DecodeOne(const std::string& token) const {
  std::string text = token;
  bool is_byte = false, is_fused = false;
  for (const Step& step : steps_) {
    is_fused = is_fused || step.kind == Step::Kind::kFuse;
    if (is_fused && step.kind == Step::Kind::kStrip) continue;  // of the whole text's ends
    const int byte = step.kind == Step::Kind::kByteFallback && !is_byte ? ByteOfToken(text) : -1;
    is_byte = is_byte || byte >= 0;
    if (byte >= 0)
      text = std::string(1, static_cast<char>(byte));
    else if (!is_byte)
      text = ApplyToOne(step, text, /*first=*/false);
  }
  return text;
}

}  // namespace tl::internal
