// SPDX-License-Identifier: Apache-2.0
#include "cli/outline.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "objective/keys.h"

namespace tl {
namespace {

OutlineRequest* current_request = nullptr;

// Describes help's arguments, which are names alone.
std::vector<ArgumentOutline> ArgumentsOfHelp() {
  ArgumentOutline command = {.name = "COMMAND", .help = "A command, or config"};
  for (const Command& other : Commands()) command.words.emplace_back(other.name);
  command.words.emplace_back("config");
  ArgumentOutline topic = {.name = "TOPIC", .help = "Of config: a section or a key"};
  for (const ConfigKey& key : AllKeys().keys()) {
    if (topic.words.empty() || topic.words.back() != key.section)
      topic.words.push_back(key.section);
  }
  for (const ConfigKey& key : AllKeys().keys()) topic.words.push_back(key.full_name());
  return {command, topic};
}

void AppendOutlines(absl::Span<const Command> commands, const std::string& prefix,
                    Communicator& world, std::vector<CommandOutline>* outlines) {
  for (const Command& command : commands) {
    CommandOutline outline = {.name = absl::StrCat(prefix, command.name), .help = command.help};
    if (command.subcommands != nullptr) {
      ArgumentOutline first = {.name = "COMMAND", .help = "What to do"};
      for (const Command& inner : command.subcommands()) first.words.emplace_back(inner.name);
      outline.arguments = {first};
    } else if (command.run == RunHelp) {
      outline.arguments = ArgumentsOfHelp();
    } else {
      OutlineRequest request;
      TL_CHECK(command.run({}, world).ok()) << outline.name << " declares nothing";
      outline.arguments = std::move(request.arguments);
    }
    outlines->push_back(std::move(outline));
    if (command.subcommands != nullptr)
      AppendOutlines(command.subcommands(), absl::StrCat(prefix, command.name, " "), world,
                     outlines);
  }
}

}  // namespace

OutlineRequest::OutlineRequest() {
  TL_CHECK(current_request == nullptr);
  current_request = this;
}

OutlineRequest::~OutlineRequest() { current_request = nullptr; }

OutlineRequest* OutlineRequest::Current() { return current_request; }

std::vector<CommandOutline> OutlineOfCommands(Communicator& world) {
  std::vector<CommandOutline> outlines;
  AppendOutlines(Commands(), "", world, &outlines);
  return outlines;
}

}  // namespace tl
