// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <fcntl.h>

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "base/files.h"
#include "base/status.h"
#include "base/utf8.h"

namespace tl {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostNested = 64;

// Walks the text before a tree is made of it, so that hostile nesting costs nothing.
class Checker : public nlohmann::json_sax<Json> {
 public:
  std::string error;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return Enter(); }
  bool end_object() override { return Leave(); }
  bool start_array(size_t) override { return Enter(); }
  bool end_array() override { return Leave(); }
  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    return Fail("the key \"" + Shortened(name, 200) + "\" occurs twice in one object");
  }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    return Fail("not JSON, from byte " + std::to_string(position));
  }

 private:
  bool Fail(const std::string& what) {
    error = what;
    return false;
  }
  bool Enter() {
    keys_.emplace_back();
    return keys_.size() <= kMostNested || Fail("nested deeper than " + std::to_string(kMostNested));
  }
  bool Leave() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

// Numbers that JSON does not have, and the strings that stand for them.
struct NotFinite {
  const char* number;
  const char* quoted;
};
constexpr NotFinite kNotFinite[] = {{"NaN", R"("\u0001NaN")"},
                                    {"Infinity", R"("\u0001Infinity")"},
                                    {"-Infinity", R"("\u0001-Infinity")"}};

std::string QuoteNotFinite(const std::string& text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out.append(text, i++, 2);
      continue;
    }
    if (text[i] == '"') in_string = !in_string;
    const NotFinite* found = nullptr;
    for (const NotFinite& n : kNotFinite) {
      if (!in_string && absl::StartsWith(absl::string_view(text).substr(i), n.number)) found = &n;
    }
    if (found == nullptr) {
      out.push_back(text[i]);
    } else {
      out += found->quoted;
      i += absl::string_view(found->number).size() - 1;
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<Json> ParsePythonJson(const std::string& text, const std::string& what) {
  return ParseJson(QuoteNotFinite(text), what);
}

absl::StatusOr<nlohmann::ordered_json> ParseOrderedPythonJson(const std::string& text,
                                                              const std::string& what) {
  const std::string quoted = QuoteNotFinite(text);
  TL_RETURN_IF_ERROR(ParseJson(quoted, what).status());
  return nlohmann::ordered_json::parse(quoted, nullptr, /*allow_exceptions=*/false);
}

std::string DumpPythonJson(const nlohmann::ordered_json& json) {
  std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  for (const NotFinite& n : kNotFinite) text = absl::StrReplaceAll(text, {{n.quoted, n.number}});
  return text + "\n";
}

absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& what) {
  Checker checker;
  if (!Json::sax_parse(text, &checker)) {
    return absl::InvalidArgumentError(what + ": " + checker.error);
  }
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t most_bytes) {
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  return ReadWholeFile(file, most_bytes, path);
}

}  // namespace tl
