// SPDX-License-Identifier: Apache-2.0
// What a mistyped key or section may have meant.
#pragma once

#include <string>

#include "config/table.h"

namespace tl {

// The known name nearest to one that is not: for a key of a known section one of that section's
// keys or the same name in another section, else another trainer's name for one of our keys, else
// the key with the nearest full name. section is empty for names outside every section.
std::string NearestKey(const ConfigTable& table, const std::string& section,
                       const std::string& name);
std::string NearestSection(const ConfigTable& table, const std::string& section);

// Insertions, deletions, replacements and swaps of neighbours between two words.
int EditDistance(const std::string& a, const std::string& b);

}  // namespace tl
