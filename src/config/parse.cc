// SPDX-License-Identifier: Apache-2.0
#include "config/parse.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "base/user_path.h"
#include "base/utf8.h"
#include "config/suggest.h"
#include "config/toml_value.h"

namespace tl {
namespace {

class ConfigParser {
 public:
  explicit ConfigParser(const ConfigTable& table) : table_(table) {}

  // Sets what a table says; section is empty at the root.
  absl::Status Apply(const toml::table& table, const std::string& section,
                     const TomlOrigin& origin) {
    for (const auto& [toml_key, node] : table) {
      const std::string name(toml_key.str());
      const std::string full = section.empty() ? name : absl::StrCat(section, ".", name);
      if (const ConfigKey* key = table_.Find(full)) {
        TL_RETURN_IF_ERROR(Set(*key, node, origin));
      } else if (node.is_table()) {
        if (table_.SectionDoc(full) == nullptr) {
          return absl::InvalidArgumentError(absl::StrCat(At(origin, node), ": unknown section [",
                                                         full, "]; did you mean [",
                                                         NearestSection(table_, full), "]?"));
        }
        TL_RETURN_IF_ERROR(Apply(*node.as_table(), full, origin));
      } else if (table_.SectionDoc(full) != nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(
            At(origin, node), ": ", full, " is a section: expected a table, found ", Found(node)));
      } else {
        const std::string nearest = NearestKey(table_, section, name);
        return absl::InvalidArgumentError(absl::StrCat(At(origin, node), ": unknown key ", full,
                                                       "; did you mean ", nearest, "?"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Override(const std::string& text) {
    const TomlOrigin origin = {absl::StrCat("--set ", OneLine(text)), false};
    const size_t equals = text.find('=');
    const std::string full(absl::StripAsciiWhitespace(text.substr(0, equals)));
    const size_t dot = full.rfind('.');
    if (equals == std::string::npos || dot == std::string::npos || dot == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin.name, ": expected section.key=value, e.g. --set optimizer.lr=1e-3"));
    }
    const std::string value(absl::StripAsciiWhitespace(text.substr(equals + 1)));
    const std::string section = full.substr(0, dot), name = full.substr(dot + 1);
    const ConfigKey* key = table_.Find(full);
    if (key == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(origin.name, ": unknown key ", full,
                                                     "; did you mean ",
                                                     NearestKey(table_, section, name), "?"));
    }
    TL_ASSIGN_OR_RETURN(const toml::table table, ParseValue(value, *key, origin));
    return Set(*key, *table.get("value"), origin);
  }

  absl::StatusOr<Config> Finish(const std::string& file) const {
    for (const ConfigKey& key : table_.keys()) {
      const bool needed = key.required && (!key.used || key.used(config_));
      if (needed && given_.count(key.full_name()) == 0) {
        return absl::InvalidArgumentError(absl::StrCat(file, ": [", key.section, "] ", key.name,
                                                       " is missing (", key.doc, ": ",
                                                       key.type_text(), ")"));
      }
    }
    Config config = config_;
    if (config.model.of_values() && given_.count("train.sequence_length") == 0)
      config.train.sequence_length = config.model.patches();
    return config;
  }

 private:
  absl::Status Set(const ConfigKey& key, const toml::node& node, const TomlOrigin& origin) {
    TL_ASSIGN_OR_RETURN(const ConfigValue value, ReadValue(key, node, origin));
    key.set(config_, value);
    given_.insert(key.full_name());
    return absl::OkStatus();
  }

  // A table whose only key is "value".
  static absl::StatusOr<toml::table> ParseValue(const std::string& value, const ConfigKey& key,
                                                const TomlOrigin& origin) {
    const bool structured = !value.empty() && strchr("\"'[{", value[0]) != nullptr;
    if (structured || !key.is_text()) {
      absl::StatusOr<toml::table> table = ParseToml("value = " + value, origin);
      if (table.ok() && table->size() == 1) return table;
      if (structured) {
        return table.ok() ? absl::InvalidArgumentError(origin.name + ": expected one value")
                          : table.status();
      }
    }
    return ParseToml("value = " + QuoteToml(value), origin);
  }

  const ConfigTable& table_;
  Config config_;
  std::set<std::string> given_;
};

void ApplyReadable(const ConfigTable& table, const toml::table& from, const std::string& section,
                   Config& config) {
  for (const auto& [toml_key, node] : from) {
    const std::string name(toml_key.str());
    const std::string full = section.empty() ? name : absl::StrCat(section, ".", name);
    if (const ConfigKey* key = table.Find(full)) {
      if (const auto value = ReadValue(*key, node, {}); value.ok()) key->set(config, *value);
    } else if (const auto* inner = node.as_table()) {
      ApplyReadable(table, *inner, full, config);
    }
  }
}

}  // namespace

absl::StatusOr<Config> ParseConfig(const ConfigTable& table, const std::string& text,
                                   const std::string& file,
                                   absl::Span<const std::string> overrides) {
  const TomlOrigin origin = {file};
  ConfigParser parser(table);
  TL_ASSIGN_OR_RETURN(const toml::table root, ParseToml(text, origin));
  TL_RETURN_IF_ERROR(parser.Apply(root, "", origin));
  for (const std::string& override : overrides) TL_RETURN_IF_ERROR(parser.Override(override));
  return parser.Finish(file);
}

absl::StatusOr<Config> LoadConfig(const ConfigTable& table, const std::string& path,
                                  absl::Span<const std::string> overrides) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored)) {
    const int error = file ? EISDIR : errno;
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot read the config file: ", strerror(error)));
  }
  const std::string text(std::istreambuf_iterator<char>(file), {});
  TL_ASSIGN_OR_RETURN(Config config, ParseConfig(table, text, path, overrides));
  if (config.run.dir.empty()) {
    config.run.dir = "checkpoints/" + std::filesystem::path(path).stem().string();
    if (const absl::Status status = CheckUtf8Path(config.run.dir); !status.ok())
      return absl::InvalidArgumentError(
          absl::StrCat(OneLine(path),
                       ": [run] dir is not given, and after the file's name: ", status.message()));
  }
  return config;
}

std::string WriteResolved(const ConfigTable& table, const Config& config) {
  std::string out, section;
  for (const ConfigKey& key : table.keys()) {
    if (section != key.section) {
      section = key.section;
      absl::StrAppend(&out, out.empty() ? "" : "\n", "[", section, "]\n");
    }
    absl::StrAppend(&out, key.name, " = ", ValueText(key, config), "\n");
  }
  return out;
}

Config WithReadable(const ConfigTable& table, Config config, const std::string& text) {
  if (const auto root = ParseToml(text, {}); root.ok()) ApplyReadable(table, *root, "", config);
  return config;
}

bool IsResolved(const ConfigTable& table, const std::string& text) {
  const std::string resolved = WriteResolved(table, WithReadable(table, Config(), text));
  const std::vector<absl::string_view> written = absl::StrSplit(resolved, '\n');
  const absl::flat_hash_set<absl::string_view> known(written.begin(), written.end());
  const auto is_name = [](absl::string_view name) {
    return std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
    });
  };
  std::string section;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::string_view name = line;
    const bool opens = absl::ConsumePrefix(&name, "[") && absl::ConsumeSuffix(&name, "]");
    if (opens) section = std::string(name);
    if (known.contains(line) || (opens && is_name(name))) continue;
    // A key that another version has.
    const size_t equals = line.find(" = ");
    if (section.empty() || equals == absl::string_view::npos || absl::StrContains(line, '#'))
      return false;
    name = line.substr(0, equals);
    if (!is_name(name) || table.Find(absl::StrCat(section, ".", name)) != nullptr) return false;
  }
  return true;
}

}  // namespace tl
