#include <array>

#include "objective/independent_heads.h"
#include "objective/medusa.h"
#include "objective/next_token.h"
#include "objective/objective.h"
#include "objective/sequential_mtp.h"

namespace tl {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Objective> (*make)(const ObjectiveConfig&, const ObjectiveContext&);
};

template <typename T>
std::unique_ptr<Objective> Make(const ObjectiveConfig& config, const ObjectiveContext& context) {
  return std::make_unique<T>(config, context);
}

constexpr std::array kObjectives = {
    Entry{"next_token", Make<NextToken>},
    Entry{"independent_heads", Make<IndependentHeads>},
    Entry{"sequential_mtp", Make<SequentialMtp>},
    Entry{"medusa", Make<Medusa>},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Objective>> MakeObjective(const ObjectiveConfig& config,
                                                         const ObjectiveContext& context) {
  for (const Entry& entry : kObjectives) {
    if (config.name == entry.name) return entry.make(config, context);
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

std::vector<std::string> OffsetNames(int n) {
  std::vector<std::string> names = {"next_token"};
  for (int offset = 2; offset <= n; ++offset) names.push_back("token_" + std::to_string(offset));
  return names;
}

}  // namespace tl
