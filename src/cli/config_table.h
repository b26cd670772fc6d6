// The one table of config keys: the parser, the writer and `trunkline help config` all use it.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "engine/config.h"

namespace tl {

// Where a key's value lives; its type is the key's type.
using ConfigField =
    std::variant<bool& (*)(Config&), int& (*)(Config&), int64_t& (*)(Config&), double& (*)(Config&),
                 std::string& (*)(Config&), Duration& (*)(Config&),
                 std::vector<WeightedPath>& (*)(Config&), std::vector<double>& (*)(Config&),
                 Precision& (*)(Config&), Recompute& (*)(Config&), ScheduleKind& (*)(Config&),
                 Curriculum& (*)(Config&), HiddenTap& (*)(Config&)>;

// The values that a number may take.
struct Range {
  enum Ends { kClosed, kAboveLow, kBelowHigh, kOpen };
  double low;
  double high;
  Ends ends = kClosed;

  bool Contains(double x) const;
  std::string ToString() const;  // "at least 1", "above 0", "0 <= x < 1"
};

enum class Presence : uint8_t { kOptional, kRequired };
enum class StringKind : uint8_t { kText, kPath /* as UserPath reads it */ };

struct ConfigKey {
  const char* section;  // "model", "model.rope_scaling"
  const char* name;
  ConfigField field;
  const char* doc;
  Range range = {0.0, 0.0};               // of numbers
  std::vector<const char*> choices = {};  // of strings; empty: any
  Presence presence = Presence::kOptional;
  StringKind kind = StringKind::kText;  // of a string

  std::string full_name() const;  // "model.layers"
  bool is_text() const;           // a string, a duration, a choice or paths
  std::string type() const;       // "integer", "number", "true or false", "one of "a", "b"", ...
};

// In the order in which they are printed: by section, each section in one run.
absl::Span<const ConfigKey> ConfigKeys();

// What a section is for; null where there is no such section.
const char* SectionDoc(const std::string& section);

// A TOML basic string.
std::string QuoteToml(const std::string& text);

// The value as TOML.
std::string ValueText(const ConfigKey& key, const Config& config);

}  // namespace tl
