// SPDX-License-Identifier: Apache-2.0
// What the commands take, as they declare it, without running them: for shells' completion.
#pragma once

#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/command.h"
#include "comm/communicator.h"

namespace tl {

struct CommandOutline {
  std::string name;  // "train", "checkpoint list"
  std::string help;
  std::vector<ArgumentOutline> arguments = {};
};

// Every command, and every command of a command behind it. world: of one rank.
std::vector<CommandOutline> OutlineOfCommands(Communicator& world);

// While there is one, ParseOrShowHelp fills it and lets the command end. One at a time.
class OutlineRequest {
 public:
  OutlineRequest();
  ~OutlineRequest();
  OutlineRequest(const OutlineRequest&) = delete;
  OutlineRequest& operator=(const OutlineRequest&) = delete;

  static OutlineRequest* Current();  // null where there is none

  std::vector<ArgumentOutline> arguments;
};

}  // namespace tl
