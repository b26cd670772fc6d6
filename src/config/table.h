// SPDX-License-Identifier: Apache-2.0
// The one table of config keys: the parser, the writer, `trunkline help config`, suggestions and
// the comparison at resume all use it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "config/key.h"

namespace tl {

class ConfigTable {
 public:
  // objective: the section whose keys the objectives give.
  explicit ConfigTable(ConfigSection objective);

  // In the order in which they are printed: by section, each section in one run.
  absl::Span<const ConfigKey> keys() const { return keys_; }
  // Null where there is none. full_name: "model.layers".
  const ConfigKey* Find(const std::string& full_name) const;
  // What a section is for; null where there is no such section.
  const std::string* SectionDoc(const std::string& section) const;

 private:
  std::vector<ConfigKey> keys_;
  std::vector<std::pair<std::string, std::string>> sections_;  // with what they are for
};

}  // namespace tl
