// What a training that goes on from a checkpoint has changed in its config since the save.
#pragma once

#include <string>
#include <vector>

#include "optim/schedule.h"

namespace tl {

struct ConfigChange {
  std::string section, key;  // "train", "sequence_length"
  std::string now, before;   // as TOML
};

// now, before: resolved configs as a run folder's config.toml has them, a key and its value a line.
// Keys that one of the two does not have, as of another version, are no change, nor are those that
// neither of the two uses ([model.rope_scaling] of factor 1).
std::vector<ConfigChange> ConfigChanges(const std::string& now, const std::string& before);

// What makes another model of the same weights, or of some of them: [model] but for init_std.
bool ChangesTheModel(const ConfigChange& change);
// What makes training see other text from there on than it would have.
bool ChangesTheData(const ConfigChange& change);

// What may give the steps from there on other learning rates.
bool ChangesTheSchedule(const ConfigChange& change);
// The schedule that was before the changes made it `now`.
Schedule ScheduleBefore(Schedule now, const std::vector<ConfigChange>& changes);

// "[train] sequence_length = 512, was 256; ..."
std::string Describe(const std::vector<ConfigChange>& changes);

}  // namespace tl
