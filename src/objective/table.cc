#include <array>

#include "objective/next_token.h"
#include "objective/objective.h"

namespace tl {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Objective> (*make)(const ObjectiveContext&);
};

template <typename T>
std::unique_ptr<Objective> Make(const ObjectiveContext& context) {
  return std::make_unique<T>(context);
}

constexpr std::array kObjectives = {
    Entry{"next_token", Make<NextToken>},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Objective>> MakeObjective(const ObjectiveConfig& config,
                                                         const ObjectiveContext& context) {
  for (const Entry& entry : kObjectives) {
    if (config.name == entry.name) return entry.make(context);
  }
  return absl::InvalidArgumentError("[objective] name = \"" + config.name + "\": expected one of " +
                                    ObjectiveNames());
}

std::string ObjectiveNames() {
  std::string names;
  for (const Entry& entry : kObjectives)
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

}  // namespace tl
