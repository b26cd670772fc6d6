// SPDX-License-Identifier: Apache-2.0
// The command line of one command: what it takes, read from its arguments or shown as help.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tl {

// A text that people write on a command line, with C's escapes (\n, \t, \x1e, \\) replaced.
// option: "--stop", for the error.
absl::StatusOr<std::string> Unescaped(const std::string& option, const std::string& text);

// What a shell needs to know of one argument to complete it.
struct ArgumentOutline {
  enum class Value : uint8_t { kNone, kText, kPath, kSetting /* SECTION.KEY=VALUE */ };
  std::string name;  // "--steps", "CONFIG"
  std::string help;
  Value value = Value::kText;
  std::vector<std::string> words = {};  // that the value may be; a path may be another
  bool many = false;                    // may be given several times

  bool is_option() const { return name[0] == '-'; }
};

class Arguments {
 public:
  // command: "train". example: lines shown at the end of the help.
  Arguments(const std::string& command, const std::string& about, const std::string& example);
  ~Arguments();

  // Values that must be given, in the order of the calls; a list takes all that are left.
  Arguments& Positional(const std::string& name, std::string* value, const std::string& help);
  Arguments& Positional(const std::string& name, std::vector<std::string>* values,
                        const std::string& help);
  enum class Need : uint8_t { kOptional, kRequired };
  // *value holds the default. A list option may be given several times.
  Arguments& Option(const std::string& name, std::string* value, const std::string& help,
                    Need need = Need::kOptional);
  Arguments& Option(const std::string& name, std::vector<std::string>* values,
                    const std::string& help);
  Arguments& Option(const std::string& name, int64_t* value, int64_t least,
                    const std::string& help);
  Arguments& Option(const std::string& name, double* value, double least, const std::string& help);
  // The same for paths, read as UserPath reads them.
  Arguments& PathPositional(const std::string& name, std::string* value, const std::string& help);
  Arguments& PathPositional(const std::string& name, std::vector<std::string>* values,
                            const std::string& help);
  Arguments& PathOption(const std::string& name, std::string* value, const std::string& help,
                        Need need = Need::kOptional);
  Arguments& PathOption(const std::string& name, std::vector<std::string>* values,
                        const std::string& help);
  // Given or not, without a value.
  Arguments& Flag(const std::string& name, bool* given, const std::string& help);
  // --set section.key=value, several times or with several values.
  Arguments& Overrides(std::vector<std::string>* overrides);
  // Names values of an argument for shells to complete; checks none.
  Arguments& Words(const std::string& name, std::vector<std::string> words);

  enum class Outcome : uint8_t { kRun, kHelp /* asked for; the text is in help() */ };
  absl::StatusOr<Outcome> Parse(absl::Span<const std::string> args);
  // Every option with its values, paths as they are meant; none where it was not given. After
  // Parse.
  std::vector<std::pair<std::string, std::vector<std::string>>> Options() const;
  std::string help() const;
  // Everything declared, options first, --help included.
  std::vector<ArgumentOutline> Outline() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tl
