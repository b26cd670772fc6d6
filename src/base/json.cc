#include "base/json.h"

#include <fcntl.h>

#include <set>
#include <vector>

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

}  // namespace

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
