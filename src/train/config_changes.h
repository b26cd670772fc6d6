// What a training that goes on from a checkpoint has changed in its config since the save.
#pragma once

#include <string>
#include <vector>

namespace tl {

struct ConfigChange {
  std::string section, key;  // "train", "sequence_length"
  std::string now, before;   // as TOML
};

// now, before: resolved configs as a run folder's config.toml has them, a key and its value a line.
// Keys that one of the two does not have, as of another version, are no change.
std::vector<ConfigChange> ConfigChanges(const std::string& now, const std::string& before);

// What makes another model of the same weights, or of some of them: [model] but for init_std.
bool ChangesTheModel(const ConfigChange& change);
// What makes a step see other text than it would have, or count its targets otherwise.
bool ChangesTheData(const ConfigChange& change);

// "[train] sequence_length = 512, was 256; ..."
std::string Describe(const std::vector<ConfigChange>& changes);

}  // namespace tl
