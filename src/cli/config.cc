#include "cli/config.h"

#include <toml++/toml.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "base/user_path.h"
#include "base/utf8.h"
#include "checkpoint/folder.h"
#include "checkpoint/manifest.h"
#include "checkpoint/reader.h"
#include "cli/config_suggest.h"
#include "cli/config_table.h"

namespace tl {
namespace {

// Where a value was read: a file, with line numbers, or an override.
struct Origin {
  std::string name;
  bool has_lines = true;
};

std::string At(const Origin& origin, const toml::node& node) {
  if (!origin.has_lines) return origin.name;
  return absl::StrCat(origin.name, ":", static_cast<int>(node.source().begin.line));
}

std::string Found(const toml::node& node) {
  if (const auto* v = node.as_string())
    return absl::StrCat("the string \"", OneLine(v->get()), "\"");
  if (const auto* v = node.as_integer()) return absl::StrCat("the integer ", v->get());
  if (const auto* v = node.as_boolean()) return v->get() ? "true" : "false";
  if (const auto* v = node.as_floating_point()) {
    std::ostringstream text;
    text << toml::value<double>(v->get());
    return "the number " + text.str();
  }
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

absl::StatusOr<toml::table> ParseToml(const std::string& text, const Origin& origin) {
  try {
    return toml::parse(text, origin.name);
  } catch (const toml::parse_error& error) {
    std::string where = origin.name;
    if (origin.has_lines) {
      absl::StrAppend(&where, ":", static_cast<int>(error.source().begin.line), ":",
                      static_cast<int>(error.source().begin.column));
    }
    const std::string_view what = error.description();
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": not TOML: ", absl::string_view(what.data(), what.size())));
  }
}

// Stores one node in a key's field.
class Setter {
 public:
  Setter(const ConfigKey& key, const toml::node& node, const Origin& origin, Config& config)
      : key_(key), node_(node), origin_(origin), config_(config) {}

  absl::Status operator()(bool& (*field)(Config&)) const {
    const auto* v = node_.as_boolean();
    if (v == nullptr) return Expected(key_.type(), Found(node_));
    field(config_) = v->get();
    return absl::OkStatus();
  }

  absl::Status operator()(int& (*field)(Config&)) const { return SetInteger(field); }
  absl::Status operator()(int64_t& (*field)(Config&)) const { return SetInteger(field); }

  absl::Status operator()(double& (*field)(Config&)) const {
    const std::optional<double> v = node_.is_number() ? node_.value<double>() : std::nullopt;
    if (!v.has_value() || !key_.range.Contains(*v)) return Expected(key_.type(), Found(node_));
    field(config_) = *v;
    return absl::OkStatus();
  }

  absl::Status operator()(std::string& (*field)(Config&)) const {
    const auto* v = node_.as_string();
    if (v == nullptr) return Expected(key_.type(), Found(node_));
    if (!key_.choices.empty()) TL_RETURN_IF_ERROR(Choice(v->get()).status());
    if (key_.kind == StringKind::kPath) {
      TL_ASSIGN_OR_RETURN(field(config_), Path(v->get()));
    } else {
      field(config_) = v->get();
    }
    return absl::OkStatus();
  }

  absl::Status operator()(Duration& (*field)(Config&)) const {
    if (const auto* v = node_.as_string()) {
      const absl::StatusOr<Duration> duration = ParseDuration(v->get());
      if (!duration.ok()) return Expected(key_.type(), Found(node_));
      field(config_) = *duration;
      return absl::OkStatus();
    }
    const std::optional<double> v = node_.is_number() ? node_.value<double>() : std::nullopt;
    if (!v.has_value() || !(*v >= 0) || !std::isfinite(*v))
      return Expected(key_.type(), Found(node_));
    field(config_) = {*v};
    return absl::OkStatus();
  }

  template <typename E>
  absl::Status operator()(E& (*field)(Config&)) const {
    const auto* v = node_.as_string();
    if (v == nullptr) return Expected(key_.type(), Found(node_));
    TL_ASSIGN_OR_RETURN(const int choice, Choice(v->get()));
    field(config_) = static_cast<E>(choice);
    return absl::OkStatus();
  }

  absl::Status operator()(std::vector<double>& (*field)(Config&)) const {
    const auto* array = node_.as_array();
    if (array == nullptr) return Expected(key_.type(), Found(node_));
    std::vector<double> numbers;
    for (const toml::node& element : *array) {
      const auto v = element.is_number() ? element.value<double>() : std::nullopt;
      if (!v.has_value() || !key_.range.Contains(*v)) return Expected(key_.type(), Found(element));
      numbers.push_back(*v);
    }
    field(config_) = std::move(numbers);
    return absl::OkStatus();
  }

  absl::Status operator()(std::vector<WeightedPath>& (*field)(Config&)) const {
    std::vector<WeightedPath> paths;
    if (const auto* array = node_.as_array()) {
      for (const toml::node& element : *array) TL_RETURN_IF_ERROR(AddPath(element, paths));
    } else {
      TL_RETURN_IF_ERROR(AddPath(node_, paths));
    }
    field(config_) = std::move(paths);
    return absl::OkStatus();
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(At(origin_, node_), ": [", key_.section, "] ", key_.name, ": ", what));
  }
  absl::Status Expected(const std::string& expected, const std::string& found) const {
    return Error(absl::StrCat("expected ", expected, "; found ", found));
  }

  absl::StatusOr<std::string> Path(const std::string& text) const {
    absl::StatusOr<std::string> path = UserPath(text);
    if (!path.ok()) return Error(path.status().message());
    // $HOME may be anything.
    if (const absl::Status status = CheckUtf8Path(*path); !status.ok())
      return Error(status.message());
    return path;
  }

  template <typename Int>
  absl::Status SetInteger(Int& (*field)(Config&)) const {
    const auto* v = node_.as_integer();
    if (v == nullptr || !key_.range.Contains(static_cast<double>(v->get()))) {
      return Expected(key_.type(), Found(node_));
    }
    field(config_) = static_cast<Int>(v->get());
    return absl::OkStatus();
  }

  absl::StatusOr<int> Choice(const std::string& text) const {
    for (size_t i = 0; i < key_.choices.size(); ++i) {
      if (text == key_.choices[i]) return static_cast<int>(i);
    }
    return Expected(key_.type(), Found(node_));
  }

  absl::Status AddPath(const toml::node& node, std::vector<WeightedPath>& paths) const {
    constexpr char kExpected[] =
        "a path, a list of paths, or a list of { path = \"a.tok\", weight = 0.7 }";
    WeightedPath out;
    if (const auto* path = node.as_string()) {
      out.path = path->get();
    } else if (const auto* table = node.as_table()) {
      for (const auto& [name, value] : *table) {
        if (name == "path" && value.is_string()) {
          out.path = value.as_string()->get();
        } else if (name == "weight" && value.is_number()) {
          out.weight = *value.value<double>();
          if (!(out.weight > 0.0) || !std::isfinite(out.weight)) {
            return Expected("a weight above 0", Found(value));
          }
        } else {
          return Expected(kExpected,
                          absl::StrCat("a table with ", name.str().data(), " = ", Found(value)));
        }
      }
    } else {
      return Expected(kExpected, Found(node));
    }
    if (out.path.empty()) return Expected(kExpected, "an empty path");
    TL_ASSIGN_OR_RETURN(out.path, Path(out.path));
    paths.push_back(std::move(out));
    return absl::OkStatus();
  }

  const ConfigKey& key_;
  const toml::node& node_;
  const Origin& origin_;
  Config& config_;
};

class Parser {
 public:
  // Sets what a table says; section is empty at the root.
  absl::Status Apply(const toml::table& table, const std::string& section, const Origin& origin) {
    for (const auto& [toml_key, node] : table) {
      const std::string name(toml_key.str());
      const std::string full = section.empty() ? name : absl::StrCat(section, ".", name);
      if (const ConfigKey* key = Find(full)) {
        TL_RETURN_IF_ERROR(std::visit(Setter(*key, node, origin, config_), key->field));
        given_.insert(full);
      } else if (node.is_table()) {
        if (SectionDoc(full) == nullptr) {
          return absl::InvalidArgumentError(absl::StrCat(At(origin, node), ": unknown section [",
                                                         full, "]; did you mean [",
                                                         NearestSection(full), "]?"));
        }
        TL_RETURN_IF_ERROR(Apply(*node.as_table(), full, origin));
      } else if (SectionDoc(full) != nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(
            At(origin, node), ": ", full, " is a section: expected a table, found ", Found(node)));
      } else {
        const std::string nearest = NearestKey(section, name);
        return absl::InvalidArgumentError(absl::StrCat(At(origin, node), ": unknown key ", full,
                                                       "; did you mean ", nearest, "?"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Override(const std::string& text) {
    const Origin origin = {absl::StrCat("--set ", OneLine(text)), false};
    const size_t equals = text.find('=');
    const std::string full(absl::StripAsciiWhitespace(text.substr(0, equals)));
    const size_t dot = full.rfind('.');
    if (equals == std::string::npos || dot == std::string::npos || dot == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin.name, ": expected section.key=value, e.g. --set optimizer.lr=1e-3"));
    }
    const std::string value(absl::StripAsciiWhitespace(text.substr(equals + 1)));
    const std::string section = full.substr(0, dot), name = full.substr(dot + 1);
    const ConfigKey* key = Find(full);
    if (key == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          origin.name, ": unknown key ", full, "; did you mean ", NearestKey(section, name), "?"));
    }
    TL_ASSIGN_OR_RETURN(const toml::table table, ParseValue(value, *key, origin));
    TL_RETURN_IF_ERROR(std::visit(Setter(*key, *table.get("value"), origin, config_), key->field));
    given_.insert(full);
    return absl::OkStatus();
  }

  absl::StatusOr<Config> Finish(const std::string& file) const {
    for (const ConfigKey& key : ConfigKeys()) {
      if (key.presence == Presence::kRequired && given_.count(key.full_name()) == 0) {
        return absl::InvalidArgumentError(absl::StrCat(file, ": [", key.section, "] ", key.name,
                                                       " is missing (", key.doc, ": ", key.type(),
                                                       ")"));
      }
    }
    return config_;
  }

 private:
  static const ConfigKey* Find(const std::string& full) {
    for (const ConfigKey& key : ConfigKeys()) {
      if (full == key.full_name()) return &key;
    }
    return nullptr;
  }

  // A table whose only key is "value".
  static absl::StatusOr<toml::table> ParseValue(const std::string& value, const ConfigKey& key,
                                                const Origin& origin) {
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

  Config config_;
  std::set<std::string> given_;
};

}  // namespace

absl::StatusOr<Config> ParseConfig(const std::string& text, const std::string& file,
                                   absl::Span<const std::string> overrides) {
  const Origin origin = {file};
  Parser parser;
  TL_ASSIGN_OR_RETURN(const toml::table root, ParseToml(text, origin));
  TL_RETURN_IF_ERROR(parser.Apply(root, "", origin));
  for (const std::string& override : overrides) TL_RETURN_IF_ERROR(parser.Override(override));
  return parser.Finish(file);
}

absl::StatusOr<Config> LoadConfig(const std::string& path,
                                  absl::Span<const std::string> overrides) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored)) {
    const int error = file ? EISDIR : errno;
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot read the config file: ", strerror(error)));
  }
  const std::string text(std::istreambuf_iterator<char>(file), {});
  TL_ASSIGN_OR_RETURN(Config config, ParseConfig(text, path, overrides));
  if (config.run.dir.empty()) {
    config.run.dir = "checkpoints/" + std::filesystem::path(path).stem().string();
    if (const absl::Status status = CheckUtf8Path(config.run.dir); !status.ok())
      return absl::InvalidArgumentError(
          absl::StrCat(OneLine(path),
                       ": [run] dir is not given, and after the file's name: ", status.message()));
  }
  return config;
}

absl::StatusOr<Config> LoadRunConfig(const std::string& dir,
                                     absl::Span<const std::string> overrides) {
  const std::filesystem::path path = std::filesystem::path(dir) / "config.toml";
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return LoadConfig(path.string(), overrides);
  const auto checkpoints = FindCheckpoints(dir);
  if (!checkpoints.ok()) {
    return absl::NotFoundError(absl::StrCat(
        dir, " is not a run folder: it has no config.toml; give the [run] dir of a training"));
  }
  absl::Status status;
  for (const std::string& checkpoint : *checkpoints) {
    const auto reader = CheckpointReader::Open(checkpoint);
    if (!reader.ok()) {
      if (status.ok()) status = reader.status();
      continue;
    }
    const std::string file = absl::StrCat(checkpoint, "/", kManifestName);
    TL_ASSIGN_OR_RETURN(Config config, ParseConfig((*reader)->manifest().config, file, overrides));
    config.checkpoint.dir = dir;
    return config;
  }
  return status;
}

std::string WriteResolved(const Config& config) {
  std::string out;
  const char* section = "";
  for (const ConfigKey& key : ConfigKeys()) {
    if (strcmp(section, key.section) != 0) {
      section = key.section;
      absl::StrAppend(&out, out.empty() ? "" : "\n", "[", section, "]\n");
    }
    absl::StrAppend(&out, key.name, " = ", ValueText(key, config), "\n");
  }
  return out;
}

}  // namespace tl
