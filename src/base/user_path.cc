// SPDX-License-Identifier: Apache-2.0
#include "base/user_path.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "base/utf8.h"

namespace tl {
namespace {

absl::Status Expected(absl::string_view expected, absl::string_view found) {
  return absl::InvalidArgumentError(
      absl::StrCat("expected ", expected, "; found \"", OneLine(found), "\""));
}

absl::Status CheckCharacters(absl::string_view path) {
  for (const char ch : path) {
    const auto byte = static_cast<unsigned char>(ch);
    if (byte < 0x20 || byte == 0x7F)
      return Expected("a path without line ends and other control characters", path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> UserPath(absl::string_view text) {
  TL_RETURN_IF_ERROR(CheckCharacters(text));
  const bool home = text == "~" || absl::StartsWith(text, "~/");
  if (!home && absl::StartsWith(text, "~") && absl::StrContains(text, "/"))
    return Expected(absl::StrCat("a path, in which ~/ stands for $HOME alone (./", OneLine(text),
                                 " is in a folder of that name)"),
                    text);
  if (!home) return std::string(text);
  const char* folder = std::getenv("HOME");
  if (folder == nullptr || folder[0] != '/')
    return Expected("$HOME to be the path that ~/ stands for", folder == nullptr ? "" : folder);
  const std::string path = absl::StrCat(folder, text.substr(1));
  TL_RETURN_IF_ERROR(CheckCharacters(path));
  return path;
}

std::string WithTildeForHome(absl::string_view path) {
  const char* folder = std::getenv("HOME");
  absl::string_view rest = path;
  if (folder == nullptr || folder[0] != '/' || !absl::ConsumePrefix(&rest, folder) ||
      (!rest.empty() && rest[0] != '/'))
    return std::string(path);
  return absl::StrCat("~", rest);
}

absl::Status CheckUtf8Path(absl::string_view path) {
  return ValidUtf8Prefix(path) == path.size() ? absl::OkStatus()
                                              : Expected("a path in UTF-8", path);
}

}  // namespace tl
