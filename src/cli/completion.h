// SPDX-License-Identifier: Apache-2.0
// The scripts that complete the command line in shells, written from what the commands declare and
// from the table of config keys.
#pragma once

#include <string>
#include <vector>

#include "cli/outline.h"
#include "config/table.h"

namespace tl {

std::string BashCompletion(const std::vector<CommandOutline>& commands, const ConfigTable& keys);
std::string ZshCompletion(const std::vector<CommandOutline>& commands, const ConfigTable& keys);

// The values of a key that can be counted, as --set takes them; else none.
std::vector<std::string> WordsOf(const ConfigKey& key);
// Whether a key's value is a path or paths.
bool IsPath(const ConfigKey& key);
// The commands of a command by their names alone, as "list" of "checkpoint"; none of others.
std::vector<std::string> SubcommandsOf(const std::string& command,
                                       const std::vector<CommandOutline>& commands);

}  // namespace tl
